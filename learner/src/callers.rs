//! Who a caller is, by certificate and token, and whether it may.

use blake3::Hash;
use subtle::ConstantTimeEq;
use tonic::codegen::http::{HeaderMap, header::AUTHORIZATION};
use tributary_common::token::Token;
use tributary_proto::access::{CertifiedName, Role};

/// Whom the learner knows.
#[derive(Clone, Debug)]
pub struct Callers {
    /// The run's name: certificates may be for one run.
    pub run: String,
    /// Whether a certificate must be shown.
    pub certificates: bool,
    /// What actors must show.
    pub actor: Option<Token>,
    /// What commands must show.
    pub control: Token,
}

/// Why somebody may not call. What was shown is not said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// None, or one without a role.
    #[error(
        "the certificate names no role of Tributary; `tributary certs` makes certificates that do"
    )]
    NoRole,
    /// Another run's.
    #[error("the certificate is for another run than \"{run}\"")]
    OtherRun {
        /// The learner's.
        run: String,
    },
    /// None, and one is needed.
    #[error("a token is missing: give --token-file")]
    NoToken,
    /// One that the learner does not know.
    #[error("the token is not one of this learner's")]
    WrongToken,
    /// An actor may not do this.
    #[error(
        "this needs the control token: give the run directory instead of the address, or \
         --token-file with a copy of RUN_DIR/token"
    )]
    NotControl,
    /// A certificate of an actor may not do this.
    #[error("this needs a certificate with the role control")]
    NotControlCertificate,
    /// There is no such call.
    #[error("there is no such call")]
    NoSuchCall,
}

impl Callers {
    /// Whether a caller may do what asks for `needed`; its role.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(
        &self,
        needed: Role,
        certificate: Option<&CertifiedName>,
        headers: &HeaderMap,
    ) -> Result<Role, Denied> {
        let certified = self.certified(certificate)?;
        let by_token = self.by_token(headers)?;
        if !by_token.may(needed) {
            return Err(Denied::NotControl);
        }
        if !certified.may(needed) {
            return Err(Denied::NotControlCertificate);
        }
        Ok(if certified == Role::Control { by_token } else { certified })
    }

    /// The most that the certificate allows; everything where none is asked for.
    fn certified(&self, certificate: Option<&CertifiedName>) -> Result<Role, Denied> {
        if !self.certificates {
            return Ok(Role::Control);
        }
        let name = certificate.ok_or(Denied::NoRole)?;
        if !name.is_for(&self.run) {
            return Err(Denied::OtherRun { run: self.run.clone() });
        }
        Ok(name.role)
    }

    fn by_token(&self, headers: &HeaderMap) -> Result<Role, Denied> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return if self.actor.is_some() { Err(Denied::NoToken) } else { Ok(Role::Actor) };
        };
        let shown = value.as_bytes().strip_prefix(b"Bearer ").ok_or(Denied::WrongToken)?;
        if values.next().is_some() {
            return Err(Denied::WrongToken);
        }
        // Hashes have one length; both are always compared, in constant time.
        let shown = blake3::hash(shown);
        let is_control = is_same(&shown, &self.control);
        let is_actor = self.actor.as_ref().is_some_and(|actor| is_same(&shown, actor));
        match (is_control, is_actor) {
            (true, _) => Ok(Role::Control),
            (false, true) => Ok(Role::Actor),
            (false, false) => Err(Denied::WrongToken),
        }
    }
}

fn is_same(shown: &Hash, token: &Token) -> bool {
    let ours = blake3::hash(token.reveal().as_bytes());
    shown.as_bytes().ct_eq(ours.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ACTOR: &str = "the-actors-own-token";
    const CONTROL: &str = "the-control-token-here";

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    fn callers(certificates: bool, actor: bool) -> Callers {
        let actor = actor.then(|| Token::new(ACTOR).unwrap());
        let control = Token::new(CONTROL).unwrap();
        Callers { run: "grid".to_owned(), certificates, actor, control }
    }

    #[test]
    fn the_token_decides_where_there_are_no_certificates() {
        let with = callers(false, true);
        let ask = |needed, shown: &[&str]| with.admit(needed, None, &headers(shown));
        let (actor, control) = (format!("Bearer {ACTOR}"), format!("Bearer {CONTROL}"));
        assert_eq!(ask(Role::Actor, &[&actor]), Ok(Role::Actor));
        assert_eq!(ask(Role::Actor, &[&control]), Ok(Role::Control));
        assert_eq!(ask(Role::Control, &[&control]), Ok(Role::Control));
        assert_eq!(ask(Role::Control, &[&actor]), Err(Denied::NotControl));
        assert_eq!(ask(Role::Actor, &[]), Err(Denied::NoToken));
        for wrong in [
            "Bearer ",
            "Bearer x",
            ACTOR,
            &format!("bearer {ACTOR}"),
            &format!("Bearer {ACTOR} "),
            &format!("Basic {CONTROL}"),
        ] {
            assert_eq!(ask(Role::Actor, &[wrong]), Err(Denied::WrongToken), "{wrong}");
        }
        assert_eq!(ask(Role::Actor, &[&actor, &control]), Err(Denied::WrongToken));

        let open = callers(false, false);
        assert_eq!(open.admit(Role::Actor, None, &headers(&[])), Ok(Role::Actor));
        assert_eq!(open.admit(Role::Control, None, &headers(&[])), Err(Denied::NotControl));
        assert_eq!(open.admit(Role::Actor, None, &headers(&[&actor])), Err(Denied::WrongToken));
    }

    #[test]
    fn certificate_and_token_must_both_allow_it() {
        let with = callers(true, true);
        let named = |run: Option<&str>, role| CertifiedName {
            run: run.map(str::to_owned),
            role,
            name: "x".to_owned(),
        };
        let token = headers(&[&format!("Bearer {CONTROL}")]);
        let ask = |name: Option<CertifiedName>| with.admit(Role::Control, name.as_ref(), &token);
        assert_eq!(ask(Some(named(Some("grid"), Role::Control))), Ok(Role::Control));
        assert_eq!(ask(Some(named(None, Role::Actor))), Err(Denied::NotControlCertificate));
        assert_eq!(ask(None), Err(Denied::NoRole));
        let other = ask(Some(named(Some("words"), Role::Control)));
        assert_eq!(other, Err(Denied::OtherRun { run: "grid".to_owned() }));
    }
}
