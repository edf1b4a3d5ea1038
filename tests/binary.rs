//! The server's command line: where settings come from, what is said when they are wrong, and the clients' keys.

#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use xllm_proxy::proto::Credential;

/// Runs the server's binary with nothing of this machine's in its environment.
fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xllm-proxy"))
        .args(arguments)
        .env_clear()
        .env("HOME", folder)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Where `check` says that the server would listen.
fn listens(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(folder, &[arguments, &["check"]].concat(), environment);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    text.lines().find_map(|line| line.strip_prefix("listen")).unwrap().trim().to_owned()
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("config.toml"), "listen = '127.0.0.1:1000'").unwrap();
    let file = ("XLLM_PROXY_CONFIG", "config.toml");
    assert_eq!(listens(folder, &[], &[]), "0.0.0.0:50051");
    assert_eq!(listens(folder, &[], &[file]), "127.0.0.1:1000");
    assert_eq!(listens(folder, &["--config", "config.toml"], &[]), "127.0.0.1:1000");
    assert_eq!(listens(folder, &[], &[file, ("XLLM_PROXY_PORT", "2000")]), "127.0.0.1:2000");
    assert_eq!(listens(folder, &[], &[file, ("XLLM_PROXY_HOST", "::1")]), "[::1]:1000");
    assert_eq!(listens(folder, &[], &[file, ("XLLM_PROXY_LISTEN", "127.0.0.1:3000")]), "127.0.0.1:3000");
    let output = listens(folder, &["--listen", "127.0.0.1:4000"], &[file, ("XLLM_PROXY_LISTEN", "127.0.0.1:3000")]);
    assert_eq!(output, "127.0.0.1:4000");
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("config.toml"), "[limits]\nsesions = 7\n").unwrap();
    for command in [&["check"][..], &[], &["client", "list"]] {
        let output = run(folder, &[&["--config", "config.toml"], command].concat(), &[]);
        let said = stderr(&output);
        assert!(!output.status.success());
        assert!(said.contains("config.toml") && said.contains("sesions") && said.contains("line 2"), "{said}");
    }
    let output = run(folder, &["--allow", "https://x.example/path", "check"], &[]);
    assert!(!output.status.success() && stderr(&output).contains("is not an origin"), "{}", stderr(&output));
}

#[test]
fn clients_come_and_go_and_only_the_credential_is_on_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let client = |arguments: &[&str]| run(folder, &[&["client"], arguments, &["--data-dir", "keys"]].concat(), &[]);
    let added = client(&["add", "laptop"]);
    let credential: Credential = stdout(&added).trim().parse().unwrap();
    assert_eq!(stdout(&added).lines().count(), 1);
    assert!(!stderr(&added).contains("xllm1_"), "the secret goes to stdout alone");
    assert_eq!(stdout(&client(&["list"])), format!("{}  laptop  current\n", credential.key_id));
    let twice = client(&["add", "laptop"]);
    assert!(!twice.status.success() && stderr(&twice).contains("client rotate laptop"), "{}", stderr(&twice));
    assert!(client(&["revoke", "laptop"]).status.success());
    let gone = client(&["revoke", "laptop"]);
    assert!(!gone.status.success() && stderr(&gone).contains("client list"), "{}", stderr(&gone));
    assert_eq!(stdout(&client(&["list"])), "");
}

#[test]
fn a_check_makes_no_keys_and_names_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--data-dir", "keys", "check"], &[]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("client add NAME --data-dir keys"), "{}", stdout(&output));
    assert!(!folder.path().join("keys").exists());
}

#[test]
fn an_address_that_is_taken_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(folder.path(), &["--listen", &address], &[]);
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains(&address) && said.contains("--listen"), "{said}");
}

#[test]
fn a_check_names_what_is_added_for_an_origin_and_shows_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = r#"
        [dns]
        servers = ["127.0.0.1:53", "[::1]:5353"]
        [[origin]]
        at = "https://api.openai.com"
        methods = ["GET", "POST"]
        paths = ["/v1/"]
        headers = { authorization = "Bearer ${PROVIDER_KEY}" }
        [[origin]]
        at = "https://*.example.com"
    "#;
    fs::write(folder.join("config.toml"), config).unwrap();
    let check = |environment: &[(&str, &str)]| run(folder, &["--config", "config.toml", "check"], environment);
    let output = check(&[("PROVIDER_KEY", "sk-secret")]);
    let said = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for line in [
        "names          looked up by 127.0.0.1:53, [::1]:5353",
        "https://api.openai.com  (GET, POST; /v1/; adds authorization)\n",
        "https://*.example.com\n",
        "https://api.groq.com\n",
    ] {
        assert!(said.contains(line), "{line} is missing in:\n{said}");
    }
    assert!(!said.contains("secret"), "{said}");
    let output = check(&[]);
    let said = stderr(&output);
    let named = ["https://api.openai.com", "authorization", "PROVIDER_KEY is not set"].iter().all(|part| said.contains(part));
    assert!(!output.status.success() && named, "{said}");
}
