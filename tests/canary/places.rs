//! What the server says: its log at every level, its metrics, its errors, its commands, and what `Debug` shows of it.

use std::{sync::Arc, thread};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use mock_llm::MockLlm;
use xllm_proxy::{
    client::{Client, Policy},
    proto::{Credential, frame::Mode},
    server::{Config, Keys, Server},
};

use super::{
    scrape::get as scrape,
    support::{
        child::Stand,
        request::{Request, request, whole},
        upstream::{self, Then},
    },
};

/// One for each thing that must show nowhere.
const API_KEY: &str = "sk-canary-api-key";
const PROVIDER_KEY: &str = "sk-canary-provider-key";
const COOKIE: &str = "canary-cookie";
const PROMPT: &str = "canary-prompt";
const ANSWER: &str = "canary-answer";
const PATH: &str = "canary-path";
const ADMIN: &str = "[admin]\nlisten = '127.0.0.1:0'\n";

fn ask(method: &str, url: &str) -> Request {
    let mut request = request(method, &format!("{url}?q={PATH}"), format!("{{\"model\":\"{PROMPT}\",\"x\":\"{PROMPT}\"}}"));
    request.extensions_mut().insert(Policy::Pass);
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {API_KEY}").parse().unwrap());
    headers.insert("cookie", format!("id={COOKIE}").parse().unwrap());
    request
}

/// As it is, and as files have it.
fn forms(credential: &Credential) -> [String; 2] {
    let line = credential.reveal().to_string();
    [URL_SAFE_NO_PAD.encode(credential.psk.expose()), line]
}

#[track_caller]
fn assert_none(place: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{secret} is in {place}:\n{text}");
    }
}

#[tokio::test]
async fn no_secret_shows_in_logs_metrics_errors_and_commands() {
    for level in ["trace", "json"] {
        let answer = format!("HTTP/1.1 200 OK\r\nset-cookie: id={COOKIE}\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
        let speaking = upstream::saying(answer.clone(), Then::Close).await;
        let broken = upstream::saying(answer.replace("content-length: ", "content-length: 9"), Then::Close).await;
        let wrong = upstream::saying(format!("{ANSWER} {COOKIE}\r\n\r\n"), Then::Close).await;
        let added = MockLlm::start(mock_llm::Config::default()).await.unwrap();
        let config = format!(
            "{ADMIN}[client.laptop]\nrequests_per_minute = 60\n[client.narrow]\nmodels = ['gpt-*']\n\
             [[origin]]\nat = '{}'\nheaders = {{ authorization = 'Bearer ${{CANARY}}' }}\n",
            added.url()
        );
        let stand = Stand::launch(level, &config, &[&speaking, &broken, &wrong], |mut command| {
            command.env("CANARY", PROVIDER_KEY);
            command
        })
        .await;
        let narrow = stand.server.client_command(&["add", "narrow"]).await;
        let client = stand.client();
        let limited = Client::builder(&stand.server.address.to_string(), narrow.clone()).unwrap().build();
        let mut secrets = [API_KEY, PROVIDER_KEY, COOKIE, PROMPT, ANSWER, PATH].map(str::to_owned).to_vec();
        secrets.extend([&narrow, &stand.server.credential].into_iter().flat_map(forms));

        let mut said = Vec::new();
        for url in [&speaking, &broken, &wrong, &format!("{}/raw/echo", added.url()), &stand.url("/raw/status/500")] {
            for mode in [Mode::Streaming, Mode::Buffered] {
                let mut request = ask("POST", url);
                request.extensions_mut().insert(mode);
                if let Err(error) = whole(&client, request).await {
                    said.push(format!("{error} {error:?}"));
                }
            }
        }
        for request in [
            ask("POST", "https://api.openai.example/v1"),
            ask("BREW", &stand.url("/raw/echo")),
            ask("TRACE", &format!("{}/raw/echo", added.url())),
            ask("POST", &format!("http://{API_KEY}:{COOKIE}@localhost/")),
            ask("POST", &format!("ftp://localhost/{PATH}")),
            ask("POST", &stand.url("/raw/echo").replace("127.0.0.1", "169.254.169.254")),
        ] {
            let error = whole(&client, request).await.unwrap_err();
            said.push(format!("{error} {error:?}"));
        }
        let error = whole(&limited, ask("POST", &stand.url("/raw/echo"))).await.unwrap_err();
        assert_eq!(error.code(), "not-allowed");
        said.push(format!("{error} {error:?}"));
        for _ in 0..70 {
            if let Err(error) = whole(&client, ask("POST", &stand.url("/raw/echo"))).await {
                said.push(format!("{error} {error:?}"));
            }
        }
        let said = said.join("\n");
        assert!(said.contains("rate-limited") && said.lines().count() > 10, "{said}");
        assert_none("errors", &said, &secrets);

        let metrics = scrape(stand.server.admin.unwrap(), "/metrics").await.body;
        assert!(metrics.contains("xllm_exchanges_total"), "{metrics}");
        assert_none("metrics", &metrics, &secrets);
        stand.server.configure(&config.replace("${CANARY}", &format!("{PROVIDER_KEY}\\n")).replace("at =", "hat ="));
        stand.server.hang_up();
        stand.server.logged(&["not reloaded"]).await;
        for arguments in [&["client", "list"][..], &["server-key", "show"]] {
            assert_none("a command", &stand.server.command(arguments).await, &secrets);
        }
        stand.server.command(&["client", "revoke", "narrow"]).await;
        let log = stand.server.log();
        assert!(log.matches("exchange").count() > 50, "{log}");
        assert_none("the log", &log, &secrets);
    }
}

#[test]
fn no_secret_shows_in_what_debug_or_a_panic_could_show() {
    let config = format!("[[origin]]\nat = 'https://llm.example'\nheaders = {{ x-api-key = '{PROVIDER_KEY}' }}\n");
    let config = Config::parse(&config, "test".as_ref(), &[]).unwrap();
    let (keys, credential) = Keys::ephemeral("canary").unwrap();
    let psk = credential.psk.expose().iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut secrets = [API_KEY, PROVIDER_KEY, COOKIE, PROMPT].map(str::to_owned).to_vec();
    secrets.extend(forms(&credential).into_iter().chain([psk]));
    let server = Server::new(config.clone(), Arc::new(keys.clone())).unwrap();
    let client = Client::builder("127.0.0.1:1", credential.clone()).unwrap().build();
    let shown = format!("{config:?} {keys:?} {credential:?} {server:?} {client:?} {:#?}", credential.psk);
    assert!(shown.contains("llm.example") && shown.contains("canary"), "{shown}");
    assert_none("Debug", &shown, &secrets);

    // What a panic says is what its message shows, and that is of these.
    let said = thread::spawn(move || panic!("{server:?} {keys:?} {credential:?}")).join().unwrap_err();
    assert_none("a panic", said.downcast_ref::<String>().unwrap(), &secrets);
}
