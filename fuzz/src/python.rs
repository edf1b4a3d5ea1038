//! The decoder of `tests/vectors`, which was written from protocol.md alone, as another process.

use std::{
    cell::RefCell,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
};

/// What is asked about: a place in the list of `oracle.py`.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum About {
    AtServer,
    AtClient,
    ClientHello,
    ServerHello,
    Credential,
    Session,
}

fn start() -> Child {
    Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 can be started")
}

/// What it makes of `data`.
pub fn ask(about: About, data: &[u8]) -> String {
    thread_local!(static ORACLE: RefCell<Child> = RefCell::new(start()));
    ORACLE.with_borrow_mut(|oracle| {
        let (Some(input), Some(output)) = (&mut oracle.stdin, &mut oracle.stdout) else { unreachable!("both are pipes") };
        let size = u32::try_from(data.len() + 1).expect("inputs are small").to_be_bytes();
        input.write_all(&[&size[..], &[about as u8], data].concat()).and_then(|()| input.flush()).expect("it listens");
        let mut size = [0; 4];
        output.read_exact(&mut size).expect("it answers");
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        output.read_exact(&mut answer).expect("it answers");
        String::from_utf8(answer).expect("text")
    })
}
