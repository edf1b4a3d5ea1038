//! `xllm bench` when it is told to stop. Whoever does not read the result keeps it being shown: it is larger than what a pipe holds.

use std::{
    fs::{self, File},
    io::Read,
    process::{Child, Command},
};

use serde_json::json;

use crate::support::{User, finish};

/// Requests of which the result has several hundred bytes each.
const MANY: usize = 300;

fn interrupt(child: &Child) {
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
}

/// Reads the beginning of what somebody writes.
async fn begun<R: Read + Send + 'static>(open: impl FnOnce() -> R + Send + 'static) -> R {
    let read = || {
        let mut from = open();
        from.read_exact(&mut [0]).expect("something comes");
        from
    };
    tokio::task::spawn_blocking(read).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_is_measured_one_ctrl_c_ends_it_at_once_and_leaves_nothing_half_written() {
    let user = User::with(json!({"text": "one two three"})).await;
    Command::new("mkfifo").arg("pipe").current_dir(user.home.path()).status().expect("mkfifo runs");
    let count = MANY.to_string();
    let args = ["bench", "-m", "haiku", "--direct-only", "-n", &count, "--json", "pipe", "--report", "page.html", "--quiet"];
    let child = user.command(&args).spawn().expect("the command starts");
    let pipe = user.home.path().join("pipe");
    let unread = begun(|| File::open(pipe).expect("somebody writes")).await;
    interrupt(&child);
    let ran = finish(child).await;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(130), "", ""));
    drop(unread);
    let mut left: Vec<_> =
        fs::read_dir(user.home.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, [".config", "pipe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_ctrl_c_ends_it_at_once() {
    let user = User::with(json!({"text": "one two three", "gate": "g"})).await;
    // The last of them waits at its second token, after one for warming up.
    user.mock.release("g", 3 * MANY + 1);
    let count = MANY.to_string();
    let args = ["bench", "-m", "haiku", "--direct-only", "-n", &count, "--warm-up", "1", "--json"];
    let mut child = user.command(&args).spawn().expect("the command starts");
    user.mock.wait_until(|stats| stats.completed == MANY as u64 && stats.requests == MANY as u64 + 1).await;
    interrupt(&child);
    let stdout = child.stdout.take().expect("piped");
    let mut unread = begun(|| stdout).await;
    interrupt(&child);
    assert_eq!(finish(child).await.code, Some(130));
    let mut text = String::new();
    unread.read_to_string(&mut text).expect("UTF-8");
    assert!(text.contains("\"interrupted\":true") && !text.ends_with('\n'), "the first showed what was measured: {text}");
}
