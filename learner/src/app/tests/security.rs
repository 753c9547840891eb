//! Who is let in: every call and every page, with every kind of wrong credentials.

mod certificates;
mod connections;
mod floods;

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tributary_proto::access::{self, Role};
use tributary_proto::code::Code;
use tributary_proto::credentials::{CredentialFiles, Credentials, explained};

use super::{GRID, TestLearner};
use crate::dashboard::pages::{DATA_PATHS, FILE_PATHS};
use crate::http::PAGES;
use certificates::{Files, client_config};

/// What somebody shows, and whether that is enough.
struct Case {
    name: &'static str,
    certificate: Option<&'static str>,
    token: Option<&'static str>,
    is_plain: bool,
    /// What it is enough for.
    allows: Option<Role>,
}

const fn case(
    name: &'static str,
    certificate: Option<&'static str>,
    token: Option<&'static str>,
    allows: Option<Role>,
) -> Case {
    Case { name, certificate, token, is_plain: false, allows }
}

const CASES: [Case; 15] = [
    case("nothing", None, None, None),
    case("control token without a certificate", None, Some("control"), None),
    case("actor certificate without a token", Some("actor"), None, None),
    case("control certificate without a token", Some("control"), None, None),
    case("wrong token", Some("control"), Some("wrong"), None),
    case("actor", Some("actor"), Some("actor"), Some(Role::Actor)),
    case("actor certificate, control token", Some("actor"), Some("control"), Some(Role::Actor)),
    case("control certificate, actor token", Some("control"), Some("actor"), Some(Role::Actor)),
    case("expired certificate", Some("expired"), Some("control"), None),
    case("certificate not valid yet", Some("early"), Some("control"), None),
    case("certificate of another authority", Some("stranger"), Some("control"), None),
    case("certificate of another run", Some("elsewhere"), Some("control"), None),
    case("certificate without a role", Some("nameless"), Some("control"), None),
    Case { is_plain: true, ..case("plain text", None, Some("control"), None) },
    // The last, since it ends the run.
    case("control", Some("control"), Some("control"), Some(Role::Control)),
];

impl Case {
    fn is_enough_for(&self, needed: Option<Role>) -> bool {
        let Some(needed) = needed else { return false };
        self.allows.is_some_and(|role| role.may(needed))
    }
}

/// Every call that the protos of a learner declare, and those of the health service.
fn calls() -> Vec<String> {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/proto");
    let names = std::fs::read_dir(protos.join("tributary/v1")).unwrap();
    let names: Vec<String> = names
        .map(|file| format!("tributary/v1/{}", file.unwrap().file_name().to_str().unwrap()))
        .collect();
    let mut calls = vec![
        "/grpc.health.v1.Health/Check".to_owned(),
        "/grpc.health.v1.Health/Watch".to_owned(),
        "/tributary.v1.Nothing/Here".to_owned(),
    ];
    for file in protox::compile(names, [protos]).unwrap().file {
        for service in &file.service {
            let methods = service.method.iter().map(|method| method.name());
            let path = |method| format!("/{}.{}/{method}", file.package(), service.name());
            calls.extend(methods.map(path));
        }
    }
    // It ends the run for who may.
    calls.sort_by_key(|call| call.ends_with("/Drain"));
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_and_every_page_is_refused_to_who_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::make(folder.path());
    let learner = TestLearner::start_secured(GRID, folder, files.learner()).await;
    assert!(learner.url.starts_with("https://"), "{}", learner.url);
    let calls = calls();
    assert!(calls.len() >= 12, "{calls:?}");
    let (mut refused, mut allowed) = (0, 0);
    for case in &CASES {
        for page in FILE_PATHS {
            // They say nothing of the run, so that everybody may have them whose handshake succeeds.
            let answer = get(&learner, &files, case, page).await;
            let is_served = answer.as_deref().is_some_and(|text| text.contains(" 200 OK"));
            let is_member = ["control", "actor", "elsewhere", "nameless"];
            let expected = case.certificate.is_some_and(|name| is_member.contains(&name));
            assert_eq!(is_served, expected, "{} {page}: {answer:?}", case.name);
        }
        let pages = || PAGES.into_iter().chain(DATA_PATHS);
        for page in pages().chain(["/none", "/metrics/", "/api/v1/", "/api"]) {
            let answer = get(&learner, &files, case, page).await;
            assert!(!answer.as_deref().is_some_and(shows_a_token), "{page}: {answer:?}");
            let is_served = answer.as_deref().is_some_and(|text| text.contains(" 200 OK"));
            let expected =
                pages().any(|known| known == page) && case.is_enough_for(Some(Role::Control));
            assert_eq!(is_served, expected, "{} {page}: {answer:?}", case.name);
            if is_served { allowed += 1 } else { refused += 1 }
        }
        for path in &calls {
            let needed = access::needed(path);
            let answer = call(&learner, &files, case, path).await;
            let is_refused = match &answer {
                Ok(()) => false,
                Err(Failure::Status(status)) => Code::of_status(status) == Code::Unauthorized,
                Err(Failure::Transport(_)) => true,
            };
            let expected = !case.is_enough_for(needed);
            assert_eq!(is_refused, expected, "{} {path}: {answer:?}", case.name);
            assert!(!shows_a_token(&format!("{answer:?}")), "{path}: {answer:?}");
            if is_refused { refused += 1 } else { allowed += 1 }
        }
    }
    println!(
        "{} calls, {} pages, {} cases: {refused} refused, {allowed} allowed",
        calls.len(),
        PAGES.len() + DATA_PATHS.len(),
        CASES.len()
    );
}

/// Pages and errors never do.
fn shows_a_token(text: &str) -> bool {
    ["actor", "control", "wrong"].iter().any(|name| text.contains(&format!("{name}-{name}-{name}")))
}

#[derive(Debug)]
enum Failure {
    /// The learner's answer.
    Status(Status),
    /// There is no connection.
    Transport(#[expect(dead_code, reason = "shown where an assertion fails")] String),
}

async fn call(
    learner: &TestLearner,
    files: &Files,
    case: &Case,
    path: &str,
) -> Result<(), Failure> {
    let credentials = Credentials::read(&CredentialFiles {
        ca: Some(files.path("ca.pem")),
        certificate: case.certificate.map(|name| files.path(&format!("{name}.pem"))),
        key: case.certificate.map(|name| files.path(&format!("{name}-key.pem"))),
        token: case.token.map(|name| files.path(&format!("{name}.token"))),
    });
    let scheme = if case.is_plain { "http" } else { "https" };
    let address = learner.url.replace("https", scheme);
    let dialer = credentials.unwrap().dialer(&address).unwrap();
    let transport = |error: &dyn std::error::Error| Failure::Transport(explained(error));
    let line = dialer.connect().await.map_err(|error| transport(&error))?;
    let mut client = tonic::client::Grpc::new(line);
    client.ready().await.map_err(|error| transport(&error))?;
    let path = PathAndQuery::try_from(path).unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let answer = client.server_streaming(Request::new(()), path, codec);
    match timeout(Duration::from_secs(20), answer).await.expect("no answer in time") {
        Ok(_) => Ok(()),
        // Of the transport, not of the learner.
        Err(status) if std::error::Error::source(&status).is_some() => Err(transport(&status)),
        Err(status) => Err(Failure::Status(status)),
    }
}

/// A page's answer with its head; `None`: no connection.
async fn get(learner: &TestLearner, files: &Files, case: &Case, page: &str) -> Option<String> {
    let address = learner.http.split_once("://").unwrap().1;
    let token = case.token.map(|name| files.token(name)).unwrap_or_default();
    let authorization = format!("Authorization: Bearer {token}\r\n");
    let authorization = if token.is_empty() { "" } else { &authorization };
    let request = format!(
        "GET {page} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut text = String::new();
    if case.is_plain {
        stream.write_all(request.as_bytes()).await.ok()?;
        stream.read_to_string(&mut text).await.ok()?;
        return Some(text);
    }
    let config = client_config(files, case.certificate);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    let mut stream = connector.connect(name, stream).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    // An alert instead of a certificate that is liked comes here. Events have no end.
    let is_events = page.ends_with("/events");
    let is_whole =
        |answer: &[u8]| is_events && String::from_utf8_lossy(answer).contains("event: hello");
    while !is_whole(&answer) && stream.read_buf(&mut answer).await.is_ok_and(|bytes| bytes > 0) {}
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_actors_need_nothing_and_control_its_token() {
    let learner = TestLearner::start(GRID, &[]).await;
    let without = Credentials::default().dialer(&learner.url).unwrap().connect().await.unwrap();
    let mut control = tributary_proto::limits::control_client(without.clone());
    let status = control.status(tributary_proto::v1::StatusRequest {}).await.unwrap_err();
    assert_eq!(Code::of_status(&status), Code::Unauthorized);
    assert!(status.message().contains("RUN_DIR/token"), "{}", status.message());
    assert!(learner.control().await.status(tributary_proto::v1::StatusRequest {}).await.is_ok());
    super::actor::TestActor::join(&learner.url, None).await;
    learner.interrupt.cancel();
}
