//! Who may call what. A call that is not in this list is refused to everybody.

use std::fmt;

/// What somebody may do with a learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Take part: sessions, weights, data files.
    Actor,
    /// Look at the run and end it; also everything that an actor may.
    Control,
}

impl Role {
    /// Whether this role may do what asks for `needed`.
    pub fn may(self, needed: Role) -> bool {
        self == Role::Control || needed == Role::Actor
    }

    /// As written in certificates.
    pub fn name(self) -> &'static str {
        match self {
            Role::Actor => "actor",
            Role::Control => "control",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The role that the calls of each service ask for; a test holds the list complete.
pub const SERVICES: [(&str, Role); 6] = [
    ("tributary.v1.Sessions", Role::Actor),
    ("tributary.v1.Weights", Role::Actor),
    ("tributary.v1.Assets", Role::Actor),
    ("tributary.v1.Rewards", Role::Actor),
    ("tributary.v1.Control", Role::Control),
    ("grpc.health.v1.Health", Role::Actor),
];

/// The role that a call (`/package.Service/Method`) asks for; `None`: nobody may call it.
pub fn needed(path: &str) -> Option<Role> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let is_method = !method.is_empty() && !method.contains('/');
    let row = SERVICES.iter().find(|(name, _)| *name == service && is_method);
    row.map(|(_, role)| *role)
}

/// What a certificate says of its owner, in a URI among its names:
/// `spiffe://tributary/actor/NAME`, or for one run only `spiffe://tributary/run/RUN/actor/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertifiedName {
    /// The run that it is made for; `None`: any.
    pub run: Option<String>,
    /// What it may do.
    pub role: Role,
    /// Whose it is.
    pub name: String,
}

const PREFIX: &str = "spiffe://tributary/";

impl CertifiedName {
    /// The URI; characters that may not stand in one become `-`.
    pub fn to_uri(&self) -> String {
        let run = self.run.as_deref().map(|run| format!("run/{}/", uri_safe(run)));
        format!("{PREFIX}{}{}/{}", run.unwrap_or_default(), self.role, uri_safe(&self.name))
    }

    /// What a URI says; `None` if it is not of this form.
    pub fn of_uri(uri: &str) -> Option<Self> {
        let parts: Vec<&str> = uri.strip_prefix(PREFIX)?.split('/').collect();
        let (run, role, name) = match parts[..] {
            [role, name] => (None, role, name),
            ["run", run, role, name] => (Some(run), role, name),
            _ => return None,
        };
        let role = [Role::Actor, Role::Control].into_iter().find(|known| known.name() == role)?;
        let is_word = |word: &str| !word.is_empty() && uri_safe(word) == word;
        let valid = is_word(name) && run.is_none_or(is_word);
        valid.then(|| Self { run: run.map(str::to_owned), role, name: name.to_owned() })
    }

    /// Whether it counts for the run of this name.
    pub fn is_for(&self, run_name: &str) -> bool {
        self.run.as_ref().is_none_or(|run| *run == uri_safe(run_name))
    }
}

impl fmt::Display for CertifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_uri())
    }
}

fn uri_safe(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-._~".contains(c) { c } else { '-' };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_call_that_is_not_listed_is_nobodys() {
        assert_eq!(needed("/tributary.v1.Control/Drain"), Some(Role::Control));
        assert_eq!(needed("/tributary.v1.Sessions/Open"), Some(Role::Actor));
        for path in [
            "/tributary.v1.RewardService/Measure",
            "/tributary.v1.Control",
            "/tributary.v1.Control/",
            "/tributary.v1.Control/Drain/x",
            "//tributary.v1.Control/Drain",
            "/TRIBUTARY.V1.CONTROL/Drain",
            "tributary.v1.Control/Drain",
            "",
        ] {
            assert_eq!(needed(path), None, "{path}");
        }
        assert!(Role::Control.may(Role::Actor) && !Role::Actor.may(Role::Control));
    }

    #[test]
    fn a_certificate_says_role_and_run() {
        let name = CertifiedName { run: Some("a b".into()), role: Role::Actor, name: "x/1".into() };
        assert_eq!(name.to_uri(), "spiffe://tributary/run/a-b/actor/x-1");
        let read = CertifiedName::of_uri(&name.to_uri()).unwrap();
        assert!(read.is_for("a b") && !read.is_for("c"));
        let any = CertifiedName::of_uri("spiffe://tributary/control/me").unwrap();
        assert!(any.is_for("anything") && any.role == Role::Control);
        for uri in [
            "spiffe://tributary/root/me",
            "spiffe://tributary/run/a/control",
            "spiffe://tributary/run//control/me",
            "spiffe://tributary/control/",
            "spiffe://tributary/control/a/b",
            "spiffe://other/control/me",
            "https://tributary/control/me",
        ] {
            assert_eq!(CertifiedName::of_uri(uri), None, "{uri}");
        }
    }
}
