//! Which path leads where, and that nothing on it changes.

use http::Method;

use crate::{
    caller::{BOTH, Http, body, header, whole},
    support::{Start, World},
};

/// Asks for these at the gateway, and gives the paths that the upstream saw.
async fn seen(world: &World, paths: &[String]) -> Vec<String> {
    let gateway = world.gateway().await;
    for path in paths {
        let mut raw = gateway.raw().await;
        raw.say(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        raw.head().await;
    }
    world.mock.requests().into_iter().map(|request| request.path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_leads_to_its_provider() {
    let world = World::new().await;
    let by_address = world.by_address();
    let routes = [
        ("/openai/v1/models", "/v1/models"),
        ("/openai/chat/completions", "/v1/chat/completions"),
        ("/anthropic/v1/messages", "/v1/messages"),
        ("/anthropic/v1/v1/messages", "/v1/messages"),
        ("/anthropic//v1/messages", "/v1/messages"),
        ("/claude/api/hello", "/api/hello"),
        ("/local/v1/embeddings", "/v1/embeddings"),
        ("/openai/v2/new", "/v2/new"),
        (&format!("{by_address}/any/path"), "/any/path"),
        (&by_address, "/"),
    ];
    let (paths, expected): (Vec<_>, Vec<_>) = routes.into_iter().map(|(path, seen)| (path.to_owned(), seen)).unzip();
    assert_eq!(seen(&world, &paths).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_queries_arrive_as_they_were_sent() {
    let world = World::new().await;
    let tails = [
        "models/",
        "files/a%2Fb%20c",
        "files/%C3%A9%ff%00",
        "a//b///c",
        "a/v1/v1",
        "models?",
        "models?limit=1&limit=2&=&&x=%26+y",
        "models?q=a/b?c=d",
        "models?a=%7B%22x%22%3A1%7D&b=~!$()*,;:@-._",
        "models/m:generate@x,y;z=1!*()$+~",
    ];
    for route in ["/openai/v1", &format!("{}/v1", world.by_address())] {
        let paths: Vec<_> = tails.iter().map(|tail| format!("{route}/{tail}")).collect();
        let expected: Vec<_> = tails.iter().map(|tail| format!("/v1/{tail}")).collect();
        let seen = seen(&world, &paths).await;
        assert_eq!(seen[seen.len() - expected.len()..], expected, "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_spellings_arrive_as_they_were_sent() {
    let world = World::new().await;
    let tails = ["a/../b", "a/./b", "..", "a/%2e/b/..", "files/%2e%2e/x", "x?q='a'", "x?q={a}|^`", "a{b}", "a|b^c", "[a]"];
    let paths: Vec<_> = tails.iter().map(|tail| format!("/openai/v1/{tail}")).collect();
    let expected: Vec<_> = tails.iter().map(|tail| format!("/v1/{tail}")).collect();
    assert_eq!(seen(&world, &paths).await, expected);
    // What no URL can hold is refused, not mended.
    let gateway = world.gateway().await;
    for tail in ["a`b", "x?\"q\"=<a>"] {
        let mut raw = gateway.raw().await;
        raw.say(format!("GET /openai/v1/{tail} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(raw.head().await.status(), 400, "{tail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_address_keeps_its_path_and_query() {
    let world = World::new().await;
    let url = world.mock.url();
    let config = format!(
        "[models.azure]\nurl = \"{url}/openai/v1?api-version=1\"\n[models.deep]\napi = \"anthropic\"\nurl = \"{url}/anthropic\"\n"
    );
    let gateway = world.start(Start { config: &config, ..Start::default() }).await;
    for path in ["/azure/responses?x=1", "/azure/v1/responses", "/deep/v1/messages"] {
        gateway.fetch(path).await;
    }
    let seen: Vec<_> = world.mock.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(
        seen,
        ["/openai/v1/responses?api-version=1&x=1", "/openai/v1/responses?api-version=1", "/anthropic/v1/messages"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_are_refused_with_those_that_exist() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for (path, status) in
        [("/v1/messages", 404), ("/OPENAI/v1/models", 404), ("/x", 400), ("/x/ftp/h/", 400), ("/x/https/me@host/", 400)]
    {
        let answer = gateway.fetch(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, "x-xllm-retry"), Some("true"));
        assert_eq!(header(&answer, "x-should-retry"), Some("false"));
    }
    let answer = gateway.fetch("/v1/messages").await;
    let text = String::from_utf8_lossy(answer.body());
    assert!(text.contains("/openai") && text.contains("/local"), "{text}");
    assert!(world.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_within_the_provider_lead_back_to_the_gateway() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    for http in BOTH {
        let answer = gateway.ask(http, gateway.get("/anthropic/raw/status/307")).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "location")), (307, Some("/anthropic/raw/echo")));
        let followed = gateway.ask(http, gateway.get("/anthropic/raw/echo")).await;
        assert_eq!(followed.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_to_elsewhere_stay_as_they_are() {
    let upstream = crate::upstream::Upstream::new().await;
    let world = upstream.world("").await;
    let gateway = world.start(Start { config: &upstream.config(), ..Start::default() }).await;
    let host = &upstream.host;
    for (location, expected) in [
        ("https://other.example/v1/x?y".to_owned(), "https://other.example/v1/x?y".to_owned()),
        ("//other.example/v1".to_owned(), "//other.example/v1".to_owned()),
        (format!("http://{host}0/v1"), format!("http://{host}0/v1")),
        (format!("http://{host}.evil.example/v1"), format!("http://{host}.evil.example/v1")),
        (format!("https://{host}/v1"), format!("https://{host}/v1")),
        ("next?page=2".to_owned(), "next?page=2".to_owned()),
        (format!("http://{host}/v1/x?y#z"), "/exact/v1/x?y#z".to_owned()),
        ("/v1/%2Fx".to_owned(), "/exact/v1/%2Fx".to_owned()),
    ] {
        let said = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let (answer, ()) = tokio::join!(gateway.fetch("/exact/v1/messages"), upstream.says(said));
        assert_eq!(header(&answer, "location"), Some(&*expected));
    }
    let said = "HTTP/1.1 302 Found\r\nlocation: /y?z\r\ncontent-length: 0\r\n\r\n";
    let spelled_out = format!("/x/http/{host}");
    let (answer, ()) = tokio::join!(gateway.fetch(&spelled_out), upstream.says(said));
    assert_eq!(header(&answer, "location"), Some(&*format!("{spelled_out}/y?z")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_behind_a_redirect_is_not_sent_twice() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let request = gateway.request(Method::POST, "/anthropic/raw/status/308").body(body("x")).expect("valid");
    assert_eq!(whole(gateway.send(Http::One, request).await).await.status(), 308);
    assert_eq!(world.mock.requests().len(), 1);
}
