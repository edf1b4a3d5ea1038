//! What a user sees who starts a gateway.

use tokio::net::TcpListener;
use xllm_proxy::server::Keys;

#[cfg(unix)]
use crate::support::signal;
use crate::{
    caller::{Http, header, json, piece, until_failure, whole},
    support::{Gateway, Ran, Start, World, soon},
};

const TOKEN: &str = "0123456789abcdef-token";

#[tokio::test(flavor = "multi_thread")]
async fn stdout_has_the_lines_to_paste_and_nothing_else() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let address = &gateway.address;
    assert_eq!(
        gateway.stdout.now(),
        format!(
            "export OPENAI_BASE_URL=http://{address}/openai/v1\nexport ANTHROPIC_BASE_URL=http://{address}/anthropic\n\
             export GOOGLE_GEMINI_BASE_URL=http://{address}/gemini\n"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_key_is_configured_programs_get_a_placeholder_for_it() {
    let world = World::new().await;
    let gateway = world.start(Start { openai: "api_key = \"sk-hidden\"", ..Start::default() }).await;
    assert!(gateway.stdout.now().ends_with("\nexport OPENAI_API_KEY=held-by-xllm-gateway\n"), "{}", gateway.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_page_names_the_routes() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let page = gateway.fetch("/").await;
    let text = String::from_utf8_lossy(page.body());
    assert_eq!(page.status(), 200);
    assert!(text.contains(&format!("http://{}/openai/v1", gateway.address)) && text.contains("/local/…"), "{text}");
    assert!(world.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_beyond_this_machine_takes_the_flag_and_a_token() {
    let world = World::new().await;
    let listen = ["--listen", "0.0.0.0:0"];
    let ran = world.run(Start { args: &listen, env: &[("XLLM_GATEWAY_TOKEN", TOKEN)], ..Start::default() }).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("--allow-remote"), "{ran:?}");
    let ran = world.run(Start { args: &[&listen[..], &["--allow-remote"]].concat(), ..Start::default() }).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("XLLM_GATEWAY_TOKEN"), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

async fn remote(world: &World) -> Gateway {
    let args = ["--listen", "0.0.0.0:0", "--allow-remote", "-v"];
    Gateway::of(world.command(&Start { args: &args, env: &[("XLLM_GATEWAY_TOKEN", TOKEN)], ..Start::default() })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_opens_the_gateway_in_any_credential_and_reaches_no_provider() {
    let world = World::new().await;
    let gateway = remote(&world).await;
    let bearer = format!("Bearer {TOKEN}");
    let alone = [("authorization", bearer.as_str()), ("x-api-key", TOKEN), ("x-goog-api-key", TOKEN), ("x-xllm-token", TOKEN)];
    for (name, value) in alone {
        // Callers beyond this machine call it by any name.
        let request = gateway.get("/anthropic/raw/echo").header("host", "gateway.example").header(name, value);
        let request = request.header("origin", "https://app.example");
        assert_eq!(gateway.ask(Http::One, request).await.status(), 200, "{name}");
    }
    let several = alone.iter().fold(gateway.get("/anthropic/raw/echo"), |request, (name, value)| request.header(*name, *value));
    assert_eq!(gateway.ask(Http::One, several).await.status(), 200);
    let stale = gateway.get("/anthropic/raw/echo").header("x-xllm-token", "another").header("x-api-key", TOKEN);
    assert_eq!(gateway.ask(Http::One, stale).await.status(), 200);
    let seen = world.mock.requests();
    assert_eq!(seen.len(), 6);
    for request in seen {
        assert_eq!(request.header("x-xllm-token"), None);
        assert!(request.headers.iter().all(|(_, value)| !String::from_utf8_lossy(value).contains(TOKEN)), "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_beside_the_token_passes() {
    let world = World::new().await;
    let gateway = remote(&world).await;
    let request = gateway.get("/anthropic/raw/echo").header("x-xllm-token", TOKEN).header("x-api-key", "sk-own");
    assert_eq!(gateway.ask(Http::Two, request).await.status(), 200);
    assert_eq!(world.mock.requests()[0].header("x-api-key"), Some("sk-own"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_callers_get_401_in_their_providers_shape() {
    let world = World::new().await;
    let gateway = remote(&world).await;
    let wrong =
        [("authorization", "Bearer wrong"), ("x-api-key", "0123456789abcdef-toke"), ("anthropic-version", "2023-06-01")];
    for (name, value) in wrong {
        let answer = gateway.ask(Http::One, gateway.get("/anthropic/v1/models").header(name, value)).await;
        let answer = whole(answer).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "x-xllm-error")), (401, Some("token-refused")));
        assert!(header(&answer, "www-authenticate").is_some());
        assert_eq!(json(answer.body())["error"]["type"], "authentication_error");
    }
    let answer = gateway.fetch("/anthropic/v1/models").await;
    assert_eq!(json(answer.body())["type"], "error", "the route names the provider");
    let answer = gateway.fetch("/gemini/v1beta/models").await;
    assert_eq!(json(answer.body())["error"]["status"], "UNAUTHENTICATED", "the route names the provider");
    assert!(world.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_exits_2_with_what_to_do() {
    let world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let ran = world.run(Start { args: &["--listen", &address], ..Start::default() }).await;
    assert!(ran.code == Some(2) && ran.stderr.contains(&address) && ran.stderr.contains("--listen"), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_proxy_refuses_exits_3_before_anything_is_served() {
    let mut world = World::new().await;
    let own = world.relay.credential.reveal().to_string();
    world.relay.credential.psk = Keys::ephemeral("other").expect("randomness").1.psk;
    for program in [&["--listen", "127.0.0.1:0"][..], &["--", "true"]] {
        let ran = world.run(Start { args: program, ..Start::default() }).await;
        assert!(ran.code == Some(3) && ran.stderr.contains("does not accept this key"), "{ran:?}");
        assert!(ran.stdout.is_empty() && !ran.stderr.contains("xllm1_") && !ran.stderr.contains(&own), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_exits_2() {
    let world = World::new().await;
    for start in [
        Start { args: &["--headers", "loud"], ..Start::default() },
        Start { config: "[gateway]\nunknown = 1", ..Start::default() },
        Start { config: "[gateway]\nlisten = \"here\"", ..Start::default() },
        Start { config: "[gateway]\ntoken = \"short\"", ..Start::default() },
        Start { config: "[gateway.request_headers]\nkeep = [\"host\"]", ..Start::default() },
        Start { args: &["--heartbeat", "0"], ..Start::default() },
        Start { args: &["--no-proxy"], ..Start::default() },
    ] {
        let ran = world.run(start).await;
        assert!(ran.code == Some(2) && ran.stdout.is_empty() && !ran.stderr.is_empty(), "{ran:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn when_stopped_what_is_under_way_finishes() {
    let world = World::new().await;
    for name in ["TERM", "INT"] {
        let mut gateway = world.start(Start { args: &["-v"], ..Start::default() }).await;
        world.mock.release(name, 1);
        let answer = gateway.ask(Http::One, gateway.get(&format!("/anthropic/raw/gated?gate={name}&chunks=2"))).await;
        let mut body = answer.into_body();
        assert_eq!(piece(&mut body).await.len(), 8);
        signal(name, &gateway.child).await;
        gateway.stderr.until(|said| said.contains("stopping")).await;
        world.mock.release(name, 1);
        assert_eq!(piece(&mut body).await.len(), 8);
        assert_eq!(until_failure(body).await, (Vec::new(), false));
        assert_eq!(gateway.wait().await.code(), Some(0));
    }
    assert_eq!(world.mock.hung_up(), 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_what_is_under_way_and_the_call_upstream() {
    let world = World::new().await;
    let mut gateway = world.start(Start { args: &["-v"], ..Start::default() }).await;
    world.mock.release("g", 1);
    let answer = gateway.ask(Http::One, gateway.get("/anthropic/raw/gated?gate=g&chunks=2")).await;
    signal("TERM", &gateway.child).await;
    gateway.stderr.until(|said| said.contains("stopping")).await;
    signal("TERM", &gateway.child).await;
    assert_eq!(gateway.wait().await.code(), Some(0));
    soon(world.mock.wait_until(|stats| stats.hung_up == 1)).await;
    assert!(until_failure(answer.into_body()).await.1, "it does not look complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_keys_nor_tokens_nor_queries_are_ever_said() {
    let world = World::new().await;
    let start = Start {
        args: &["-v"],
        env: &[("XLLM_GATEWAY_TOKEN", TOKEN), ("GEMINI_API_KEY", "hidden-env"), ("XLLM_LOG", "trace")],
        claude: "api_key = \"sk-hidden-config\"",
        config: "[gateway.request_headers]\nset = { x-team = \"hidden-rule\" }",
        ..Start::default()
    };
    let gateway = world.start(start).await;
    for path in ["/anthropic/raw/echo", "/openai/v1/models", "/gemini/v1beta/models", "/x/http/127.0.0.1:1/y", "/nowhere"] {
        for token in [TOKEN, "hidden-wrong"] {
            let request = gateway.get(&format!("{path}?key=hidden-query")).header("x-xllm-token", token);
            let request = request.header("authorization", "Bearer hidden-bearer").header("cookie", "hidden-cookie");
            gateway.ask(Http::One, request).await;
        }
    }
    let said = gateway.said();
    assert!(said.contains("/openai/v1/models"), "{said}");
    let credential = world.relay.credential.reveal().to_string();
    for secret in [TOKEN, "hidden", "xllm1_", &credential] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_at_the_start_do_not_show_secrets_either() {
    let world = World::new().await;
    let start = Start {
        args: &["--listen", "127.0.0.1:0", "-v"],
        claude: "api_key = \"sk-hidden\"",
        config: "[gateway]\ntoken = \"hidden\"\n[gateway.request_headers]\nset = { \"x y\" = \"hidden-rule\" }",
        ..Start::default()
    };
    let ran: Ran = world.run(start).await;
    assert!(ran.code == Some(2) && !ran.stderr.contains("hidden") && !ran.stderr.contains("xllm1_"), "{ran:?}");
}
