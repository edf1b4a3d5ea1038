//! Flow control: a reader stops its own sender and nobody else, nobody waits for ever, and queues are bounded.

use bytes::Bytes;
use xllm_proxy::proto::{
    Event, Role, ServerConfig,
    frame::{BodyLength, Frame, Headers, Ping, Request},
    limits::{self, FRAME_COST, SEND_QUEUE},
};

use crate::pair::{Pair, Scripted, client_config, encoded, get, ok, pieces, post, server_config};

#[test]
fn a_reader_that_takes_nothing_stops_its_sender_at_exactly_its_credit_and_others_go_on() {
    let mut pair = Pair::established();
    // A piece of 960 bytes costs 1024.
    let stuck = pair.open(&Request { credit: 17 * 1024, ..get() });
    let other = pair.open(&get());
    pair.respond(stuck, &ok());
    pair.respond(other, &ok());
    for at in 0..30 {
        pair.data(stuck, &[at; 960]);
    }
    pair.quiet();
    assert_eq!(pieces(&pair.events(Role::Client), stuck).len(), 17);
    for _ in 0..3 {
        pair.data(other, b"goes on");
        pair.quiet();
        assert_eq!(pieces(&pair.events(Role::Client), other), ["goes on"]);
    }
    // Credit goes back in steps of a quarter: 4 pieces are less, 5 are more.
    for _ in 0..4 {
        assert!(!pair.client.taken(stuck, 960));
    }
    pair.quiet();
    assert_eq!(pair.events(Role::Client)[..], []);
    assert!(pair.client.taken(stuck, 960));
    pair.quiet();
    let found = pieces(&pair.events(Role::Client), stuck);
    assert_eq!(found.iter().map(|piece| piece[0]).collect::<Vec<_>>(), [17, 18, 19, 20, 21]);
}

#[test]
fn an_upload_stops_at_its_credit_and_resumes_with_more() {
    let mut pair = Pair::with(client_config(), ServerConfig { credit: 17 * 1024, ..server_config() }).establish();
    let number = pair.open(&post(BodyLength::Unknown));
    for at in 0..30 {
        pair.body(number, &[at; 960]);
    }
    pair.client.end_body(number, Headers::new()).unwrap();
    pair.quiet();
    assert_eq!(pieces(&pair.events(Role::Server), number).len(), 17);
    let (mut found, mut ended) = (17, false);
    let mut taken = 0;
    while !ended {
        assert!(taken < found, "the upload is stuck at {found}");
        pair.server.taken(number, 960);
        taken += 1;
        pair.quiet();
        let events = pair.events(Role::Server);
        found += pieces(&events, number).len();
        ended = events.iter().any(|event| matches!(event, Event::BodyEnd(..)));
    }
    assert_eq!(found, 30);
}

#[test]
fn a_reader_that_takes_everything_is_never_left_waiting() {
    for credit in [limits::CREDIT_MIN, 20_000, 100_000, 200_000] {
        for size in [1, 500, 4_200, 16_000, 60_000] {
            let mut pair = Pair::with(client_config(), server_config()).establish();
            let number = pair.open(&Request { credit, ..get() });
            pair.respond(number, &ok());
            let count = 1 + 400_000 / (size + 64);
            let (mut given, mut received) = (0, 0);
            while received < count * size {
                while given < count && pair.server.has_room(number) {
                    pair.data(number, &vec![0; size]);
                    given += 1;
                }
                pair.quiet();
                let events = pair.events(Role::Client);
                let before = received;
                for piece in pieces(&events, number) {
                    received += piece.len();
                    pair.client.taken(number, piece.len());
                }
                assert!(received > before || pair.flush(), "stuck: credit {credit}, pieces of {size}");
            }
        }
    }
}

#[test]
fn what_a_sender_queues_is_bounded_and_it_hears_once_of_room() {
    for size in [1_usize, 1_000, 16_000, 200_000] {
        let mut pair = Pair::established();
        let number = pair.open(&Request { credit: limits::CREDIT_MIN, ..get() });
        pair.respond(number, &ok());
        let mut queued = 0;
        while pair.server.has_room(number) {
            pair.data(number, &vec![0; size]);
            queued += size + FRAME_COST;
        }
        assert!(queued < SEND_QUEUE + size + 64, "{queued} in pieces of {size}");
        let (mut room, mut rounds) = (0, 0);
        while room == 0 {
            assert!(!pair.server.has_room(number) || room > 0);
            pair.quiet();
            for piece in pieces(&pair.events(Role::Client), number) {
                pair.client.taken(number, piece.len());
            }
            room += pair.events(Role::Server).iter().filter(|event| **event == Event::Room(number)).count();
            rounds += 1;
            assert!(rounds < 1000, "no room for pieces of {size}");
        }
        assert_eq!(room, 1);
        assert!(pair.server.has_room(number));
    }
}

#[test]
fn credit_that_falls_due_beside_many_refusals_is_given() {
    for refused in [1, 100, 150, 200, 250, 898] {
        let config = ServerConfig { exchanges: 1, credit: limits::CREDIT_MIN, ..server_config() };
        let mut peer = Scripted::established_client(config);
        peer.frame(1, &Frame::Request(Box::new(post(BodyLength::Unknown))));
        peer.frame(1, &Frame::Body(Bytes::from(vec![0; 16_000])));
        for number in 2..refused + 2 {
            peer.frame(number, &Frame::Request(Box::new(get())));
        }
        peer.events();
        peer.subject.taken(1, 16_000);
        let heard = peer.hear();
        let errors = heard.iter().filter(|(_, frame)| matches!(frame, Frame::Error { .. })).count();
        assert_eq!(errors, refused as usize);
        assert_eq!(heard.iter().filter(|(_, frame)| *frame == Frame::Credit(16_064)).count(), 1, "beside {refused}");
        assert!(!peer.subject.is_closed());
    }
}

#[test]
fn credit_that_falls_due_beside_a_record_that_is_full_to_its_last_bytes_is_given() {
    let begin = || {
        let config = ServerConfig { exchanges: 1, credit: limits::CREDIT_MIN, ..server_config() };
        let mut peer = Scripted::established_client(config);
        peer.frame(1, &Frame::Request(Box::new(post(BodyLength::Unknown))));
        peer.frame(1, &Frame::Body(Bytes::from(vec![0; 16_000])));
        peer.events();
        peer
    };
    let mut peer = begin();
    peer.frame(2, &Frame::Request(Box::new(get())));
    let heard = peer.hear();
    let [(2, refusal)] = &heard[..] else { panic!("{heard:?}") };
    let ping = Ping { token: [1; 8], silence: 0 };
    let pong = encoded(0, &Frame::Pong(ping)).len();
    // So many refusals and PONGs that what they leave of a record is too little.
    let credit = Frame::Credit(16_064);
    let full = limits::RECORD_PLAINTEXT + 1 - encoded(1, &credit).len()..=limits::RECORD_PLAINTEXT;
    let mut both = (2..400).flat_map(|last| (0..=limits::PINGS).map(move |pongs| (last, pongs)));
    let used = |last, pongs| (2..=last).map(|number| encoded(number, refusal).len()).sum::<usize>() + pongs * pong;
    let (last, pongs) = both.find(|&(last, pongs)| full.contains(&used(last, pongs))).unwrap();
    let mut peer = begin();
    for number in 2..=last {
        peer.frame(number, &Frame::Request(Box::new(get())));
    }
    for _ in 0..pongs {
        peer.frame(0, &Frame::Ping(ping));
    }
    peer.subject.taken(1, 16_000);
    let heard = peer.hear();
    assert_eq!(heard.len(), last as usize - 1 + pongs + 1);
    assert_eq!(heard.last(), Some(&(1, credit)));
}
