//! What an upstream sees of a request: the URL as it was written, the headers that the policy lets through, and no more.

use http::Version;
use http_body::Frame;
use xllm_proxy::client::Policy;

use super::support::{
    relay::Relay,
    request::{Request, get, request, streaming, whole},
    secure::https,
    upstream::{self, Recording},
};

/// What a URL parser would mend, and what it would not.
const ODD: [&str; 21] = [
    "/",
    "//",
    "/raw/echo",
    "/raw/echo/",
    "/raw//echo",
    "/raw/./echo/../echo/.",
    "/../..",
    "/raw/%2e%2E/%2F%41%zz",
    "//other.example/x",
    "/@other.example:80/",
    "/http://other.example/?u=https://a@b",
    "/a|b^c[d]e{f}\"g\"'h'!$&()*+,;=~",
    "/größe?größe",
    "/?",
    "/raw/echo?",
    "/raw/echo/?",
    "/raw/echo??a",
    "/raw/echo?a=&&a=1&a=2",
    "/raw/echo?q='x'&r={y}|`^[]",
    "/raw/echo?q=a/../b/%2e%2e/%20+%2B",
    "/raw/echo?u=http://x:1/?y@z",
];

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn the_request_line_is_the_url_byte_for_byte() {
    let Recording { url, heard } = upstream::recording(ANSWER, b"\r\n\r\n").await;
    let relay = Relay::allowing(&url).await;
    for path in ODD {
        whole(&relay.client(), get(&format!("{url}{path}"))).await.unwrap();
    }
    let heard = String::from_utf8(heard.borrow().clone()).unwrap();
    let lines: Vec<_> = heard.lines().filter(|line| line.starts_with("GET ")).collect();
    assert_eq!(lines, ODD.map(|path| format!("GET {path} HTTP/1.1")));
}

#[tokio::test]
async fn an_https_upstream_sees_the_url_byte_for_byte_under_both_versions() {
    for (protocols, version) in [(&["http/1.1"][..], Version::HTTP_11), (&["h2"], Version::HTTP_2)] {
        let (stand, url) = https(protocols, "").await;
        for path in ODD {
            whole(&stand.client(), get(&format!("{url}{path}"))).await.unwrap();
        }
        let seen = stand.mock.requests();
        assert!(seen.iter().all(|request| request.version == version));
        assert_eq!(seen.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), ODD);
    }
}

#[tokio::test]
async fn a_url_without_a_path_asks_for_the_root() {
    let relay = Relay::start().await;
    for end in ["", "?", "?a=/b"] {
        whole(&relay.client(), get(&relay.url(end))).await.unwrap();
    }
    assert_eq!(relay.mock.requests().iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), ["/", "/?", "/?a=/b"]);
}

/// With the caller's headers as they are.
fn passing(mut request: Request) -> Request {
    request.extensions_mut().insert(Policy::Pass);
    request
}

/// All that an HTTP/1.1 upstream hears of a request, which ends so; it is known as `up`.
async fn heard(end: &'static [u8], request: impl FnOnce(&str) -> Request) -> String {
    let Recording { url, heard } = upstream::recording(ANSWER, end).await;
    let relay = Relay::allowing(&url).await;
    whole(&relay.client(), passing(request(&format!("{url}/p")))).await.unwrap();
    let heard = String::from_utf8(heard.borrow().clone()).unwrap();
    heard.replace(url.trim_start_matches("http://"), "up")
}

#[tokio::test]
async fn a_request_has_the_callers_headers_its_host_and_its_framing_alone() {
    const CALLERS: &str = "authorization: Bearer sk-secret-key\r\nx-note: secret-header\r\nhost: up\r\n";
    for method in ["GET", "DELETE"] {
        let heard = heard(b"\r\n\r\n", |url| request(method, url, "")).await;
        assert_eq!(heard, format!("{method} /p HTTP/1.1\r\n{CALLERS}\r\n"));
    }
    let empty = heard(b"\r\n\r\n", |url| request("POST", url, "")).await;
    assert_eq!(empty, format!("POST /p HTTP/1.1\r\n{CALLERS}content-length: 0\r\n\r\n"));
    let short = heard(b"body", |url| request("POST", url, "body")).await;
    assert_eq!(short, format!("POST /p HTTP/1.1\r\n{CALLERS}content-length: 4\r\n\r\nbody"));
    let body = futures::stream::iter([Ok(Frame::data("body".into()))]);
    let unknown = heard(b"0\r\n\r\n", |url| streaming("POST", url, body)).await;
    assert_eq!(unknown, format!("POST /p HTTP/1.1\r\n{CALLERS}transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn an_http_2_request_has_the_callers_headers_and_its_length_alone() {
    let (stand, url) = https(&["h2"], "").await;
    let url = format!("{url}/raw/echo");
    whole(&stand.client(), passing(get(&url))).await.unwrap();
    whole(&stand.client(), passing(request("POST", &url, "body"))).await.unwrap();
    whole(&stand.client(), get(&url)).await.unwrap();
    let seen = stand.mock.requests().into_iter().map(|request| request.headers.into_iter().map(|(name, _)| name).collect());
    let expected: [&[&str]; 3] = [
        &["authorization", "x-note"],
        &["authorization", "x-note", "content-length"],
        &["authorization", "x-note", "user-agent"],
    ];
    assert_eq!(seen.collect::<Vec<Vec<String>>>(), expected);
}
