//! The line that each exchange leaves in the log.

use super::support::{
    child::Stand,
    request::{assert_clean, request, whole},
};

/// All its fields.
const FIELDS: [&str; 13] = [
    "client",
    "exchange",
    "method",
    "host",
    "status",
    "upload",
    "bytes",
    "pieces",
    "frames",
    "upstream_ms",
    "first_ms",
    "ms",
    "outcome",
];

/// The line of an exchange with a request body of 1000 bytes and an answer of two pieces.
async fn line(stand: &Stand, complete: &str) -> String {
    stand.mock.release("line", 2);
    let asked = request("GET", &stand.url("/raw/gated?gate=line&chunks=2&size=100"), vec![b'u'; 1000]);
    assert_eq!(whole(&stand.client(), asked).await.unwrap().body().len(), 200);
    let line = stand.server.logged(&["exchange", complete]).await;
    assert_clean(&stand.server.log());
    line
}

#[tokio::test]
async fn a_human_reads_all_of_an_exchange_in_a_line() {
    let line = line(&Stand::logging("info", "", &[]).await, r#"outcome="complete""#).await;
    for field in FIELDS {
        assert!(line.contains(&format!(" {field}=")), "{field} in {line}");
    }
    for part in
        [" upload=1000 ", " bytes=200 ", " pieces=2 ", " frames=2 ", " status=200 ", " host=127.0.0.1 ", " client=laptop "]
    {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[tokio::test]
async fn a_program_reads_the_same_as_json() {
    let line = line(&Stand::logging("json", "", &[]).await, r#""outcome":"complete""#).await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    for field in FIELDS {
        assert!(line.get(field).is_some(), "{field} in {line}");
    }
    let numbers = ["upload", "bytes", "pieces", "frames", "status"].map(|field| line[field].as_u64());
    assert_eq!(numbers, [1000, 200, 2, 2, 200].map(Some), "{line}");
    assert_eq!((&line["host"], &line["client"]), (&"127.0.0.1".into(), &"laptop".into()));
    assert!(line["ms"].as_u64() >= line["first_ms"].as_u64(), "{line}");
}
