//! What the dashboard is told by a learner.

use std::fs;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::actor::{PATIENCE, TestActor};
use super::control::get;
use super::resume::again;
use super::{GOOD, GRID, TestLearner, until};

/// A stream of events, with what was heard of it.
struct Events {
    stream: TcpStream,
    heard: String,
}

impl Events {
    async fn open(learner: &TestLearner, last: Option<&str>) -> Self {
        let address = learner.http.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let token = learner.token();
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n{last}\r\n",
            token.reveal()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, heard: String::new() }
    }

    /// Reads until it has heard these words.
    async fn until(&mut self, words: &str) -> &str {
        let mut part = [0; 4_096];
        while !self.heard.contains(words) {
            let read = timeout(PATIENCE, self.stream.read(&mut part)).await;
            let count = read.unwrap_or_else(|_| panic!("no {words} in {}", self.heard)).unwrap();
            assert!(count > 0, "it ended without {words}: {}", self.heard);
            self.heard += &String::from_utf8_lossy(&part[..count]);
        }
        &self.heard
    }
}

async fn json(learner: &TestLearner, path: &str) -> Value {
    let answer = get(learner, path).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn records(learner: &TestLearner) -> Vec<Value> {
    let text = fs::read_to_string(learner.path("metrics.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_the_run_as_it_is_recorded_and_what_it_missed() {
    let learner = TestLearner::start(GRID, &[]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 20]).await;
    actor.acked().await;
    let is_accepted = |record: &Value| record["generated"] == 20.0;
    until("records", || records(&learner).iter().filter(|record| is_accepted(record)).count() > 1)
        .await;

    let snapshot = json(&learner, "/api/v1/snapshot").await;
    let (run, actors) = (&snapshot["run"], snapshot["actors"].as_array().unwrap());
    assert_eq!((&run["name"], &run["incarnation"]), (&"grid".into(), &1.into()));
    assert_eq!((&snapshot["state"], actors.len()), (&"running".into(), 1));
    assert_eq!((&actors[0]["accepted"], &snapshot["books"]["accepted"]), (&20.into(), &20.into()));
    assert_eq!(
        (&snapshot["rewards"]["paid"], &snapshot["rewards"]["known"]),
        (&1.into(), &19.into())
    );
    assert_eq!(snapshot["best"].as_array().unwrap().len(), 1, "{snapshot:#}");
    let samples: u64 =
        snapshot["lags"].as_array().unwrap().iter().map(|bin| bin["count"].as_u64().unwrap()).sum();
    assert_eq!(samples, 16, "one batch was trained on");
    let record =
        records(&learner).into_iter().find(|record| record["number"] == snapshot["number"]);
    let record = record.expect("the record that it names");
    for (name, value) in snapshot["values"].as_object().unwrap() {
        assert_eq!(&record[name], value, "{name}");
    }
    let history = json(&learner, "/api/v1/history?seconds=600&points=100").await;
    let generated = history["series"]["generated"]["mean"].as_array().unwrap();
    assert_eq!(generated.last(), Some(&20.0.into()), "{history}");
    assert_eq!(generated.len(), history["seconds"].as_array().unwrap().len());

    let mut new = Events::open(&learner, None).await;
    let heard = new.until("event: snapshot").await;
    assert!(heard.find("event: hello") < heard.find("event: snapshot"), "{heard}");
    assert!(!heard.contains("event: history") && !heard.contains("event: record"), "{heard}");
    new.until("event: record").await;
    let mut away = Events::open(&learner, Some("1-1")).await;
    let heard = away.until("event: snapshot").await;
    assert!(heard.contains("id: 1-2\n") && !heard.contains("event: history"), "{heard}");
    let mut elsewhere = Events::open(&learner, Some("7-1")).await;
    assert!(elsewhere.until("event: snapshot").await.contains("event: history"));

    learner.interrupt.cancel();
    actor.leave_when_drained().await;
    new.until("event: end").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_goes_on_shows_the_history_of_the_one_before() {
    let mut learner = TestLearner::start(GRID, &[]).await;
    let mut actor = TestActor::join(&learner.url, None).await;
    actor.send(&[GOOD; 20]).await;
    actor.acked().await;
    until("records", || records(&learner).len() > 2).await;
    learner.interrupt.cancel();
    actor.leave_when_drained().await;
    learner.end().await;
    let before = records(&learner);

    let learner = again(learner, &[]).await;
    let whole = loop {
        let history = json(&learner, "/api/v1/history").await;
        if history["records"].as_u64().unwrap() > before.len() as u64 {
            break history;
        }
        tokio::task::yield_now().await;
    };
    let first = before[0]["seconds"].as_f64().unwrap();
    assert!(whole["seconds"][0].as_f64().unwrap() < first + 1.0, "{whole}");
    let snapshot = json(&learner, "/api/v1/snapshot").await;
    assert_eq!(snapshot["run"]["incarnation"], 2);
    learner.interrupt.cancel();
}
