//! Exchanges that outlive their session: nothing is lost, nothing comes twice, and nobody is held longer than was said (section 7).

use xllm_proxy::proto::{
    Closed, Code, Error, Event, Fault, Held, Hold, Profile, Role, ServerConfig, Terms,
    frame::{BodyLength, CancelReason, End, Frame, GoAway, Headers, Notice, Ping, Request, Response, Resume, Resumed},
    handshake::ServerHello,
    limits::{self, FRAME_COST},
};

use crate::pair::{
    Pair, Scripted, client_config, closed, encoded, get, ms, ok, pieces, post, secs, server_config, server_hello,
};

const KEEP: usize = 64 * 1024;

fn hold() -> Hold {
    Hold { time: secs(60), keep: KEEP, finish: false }
}

fn granting(hold: Hold) -> Pair {
    let mut pair = Pair::new();
    pair.terms = Terms { hold: Some(hold), ..Terms::default() };
    pair.establish()
}

fn pair() -> Pair {
    granting(hold())
}

/// The path is gone, with all that was on it; both ends learn of it.
fn cut(pair: &mut Pair) {
    for to in [Role::Client, Role::Server] {
        pair.link(to).under_way.clear();
    }
    for role in [Role::Client, Role::Server] {
        pair.end(role).receive_end();
    }
    assert!(pair.client.is_closed() && pair.server.is_closed());
}

/// The client comes back with an exchange of `old`. Gives its number in `new`, what the client asked for, and its events.
fn back(old: &mut Pair, new: &mut Pair, number: u32) -> (u32, Resume, Vec<Event>) {
    new.now = new.now.max(old.now);
    let held = old.client.take(number).expect("it is held");
    let again = new.client.resume(held).expect("it can be opened");
    new.quiet();
    let events = new.events(Role::Server);
    let [Event::Resume(asked, resume)] = events[..] else { panic!("{events:?}") };
    assert_eq!(asked, again);
    if old.server.can_resume(number, &resume) {
        let held = old.server.take(number).expect("it is held");
        new.server.adopt(again, held, &resume);
    } else {
        new.server.gone(again);
    }
    new.quiet();
    (again, resume, new.events(Role::Client))
}

/// What asks for a response from this place on.
const fn from(next: u64) -> Resume {
    Resume { id: [7; 16], next, credit: limits::CREDIT_MIN, attempt: 9 }
}

/// The bytes of an exchange's pieces in these events.
fn text(events: &[Event], exchange: u32) -> String {
    pieces(events, exchange).iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
}

#[test]
fn a_cut_answer_goes_on_at_the_next_byte_whatever_was_lost_on_the_way() {
    for lost in 0..6 {
        let (mut old, mut new) = (pair(), pair());
        let number = old.open(&get());
        old.respond(number, &ok());
        let mut found = String::new();
        for at in 0..6 {
            old.to_client.cut = at >= lost;
            old.data(number, format!("{at},").as_bytes());
            old.quiet();
            found += &text(&old.events(Role::Client), number);
        }
        cut(&mut old);
        // The upstream goes on meanwhile.
        old.data(number, b"6,");
        let (again, resume, events) = back(&mut old, &mut new, number);
        assert_eq!((resume.id, resume.next), (get().id, lost + 1));
        assert_eq!(events[0], Event::Resumed(again));
        found += &text(&events, again);
        new.data(again, b"7");
        new.quiet();
        found += &text(&new.events(Role::Client), again);
        assert_eq!(found, "0,1,2,3,4,5,6,7", "{lost} arrived");
        new.finish(again, 15);
    }
}

#[test]
fn one_that_is_cut_before_its_head_gets_all_of_the_answer() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&get());
    cut(&mut old);
    old.server.respond(old.now, number, &ok()).unwrap();
    old.data(number, b"all of it");
    old.server.end(number, Headers::new()).unwrap();
    let (again, _, events) = back(&mut old, &mut new, number);
    assert!(matches!(events[..], [Event::Resumed(_), Event::Response(..), Event::Data(..), Event::End(..)]), "{events:?}");
    assert_eq!(text(&events, again), "all of it");
}

#[test]
fn an_end_that_did_not_arrive_is_sent_again() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&get());
    old.respond(number, &ok());
    old.data(number, b"nearly");
    old.quiet();
    old.to_client.cut = true;
    old.server.end(number, Headers::new()).unwrap();
    old.quiet();
    assert_eq!(old.server.open_exchanges(), 0);
    assert!(old.server.drain_settled().next().is_none(), "nobody knows whether it has arrived");
    cut(&mut old);
    let (_, _, events) = back(&mut old, &mut new, number);
    assert!(matches!(&events[..], [Event::Resumed(_), Event::End(_, end)] if end.total == 6), "{events:?}");
}

#[test]
fn a_session_may_be_cut_while_it_goes_on_from_another() {
    let (mut old, mut new, mut newest) = (pair(), pair(), pair());
    let number = old.open(&post(BodyLength::Known(6)));
    old.respond(number, &ok());
    old.body(number, b"abc");
    cut(&mut old);
    // RESUME goes out and is lost.
    new.to_server.cut = true;
    let held = old.client.take(number).unwrap();
    let again = new.client.resume(held).unwrap();
    new.quiet();
    new.client.receive_end();
    assert!(new.client.holds(again));
    newest.now = new.now;
    let held = new.client.take(again).unwrap();
    let last = newest.client.resume(held).unwrap();
    newest.quiet();
    let [Event::Resume(_, resume)] = newest.events(Role::Server)[..] else { panic!("no RESUME") };
    let held = old.server.take(number).unwrap();
    newest.server.adopt(last, held, &resume);
    newest.quiet();
    newest.body(last, b"def");
    newest.client.end_body(last, Headers::new()).unwrap();
    newest.quiet();
    assert_eq!(text(&newest.events(Role::Server), last), "abcdef");
    assert_eq!(newest.events(Role::Client)[..], [Event::Resumed(last)]);
    newest.finish(last, 0);
}

#[test]
fn an_upload_goes_on_from_what_the_server_has() {
    for lost in 0..5 {
        let (mut old, mut new) = (pair(), pair());
        let number = old.open(&post(BodyLength::Unknown));
        let mut found = String::new();
        for at in 0..4 {
            old.to_server.cut = at >= lost;
            old.body(number, format!("{at},").as_bytes());
            old.quiet();
            found += &text(&old.events(Role::Server), number);
        }
        if lost == 4 {
            old.to_server.cut = true;
            old.client.end_body(number, Headers::new()).unwrap();
            old.quiet();
        }
        cut(&mut old);
        // What the program gives meanwhile waits.
        if lost < 4 {
            old.client.send_body(old.now, number, "last".into()).unwrap();
            old.client.end_body(number, Headers::new()).unwrap();
        }
        let (again, _, events) = back(&mut old, &mut new, number);
        assert_eq!(events[..], [Event::Resumed(again)]);
        let events = new.events(Role::Server);
        found += &text(&events, again);
        assert_eq!(found, if lost < 4 { "0,1,2,3,last" } else { "0,1,2,3," }, "{lost} arrived");
        assert!(matches!(events.last(), Some(Event::BodyEnd(..))), "{events:?}");
    }
}

#[test]
fn an_end_of_an_upload_that_arrived_twice_is_told_once() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&post(BodyLength::Known(3)));
    old.body(number, b"abc");
    old.client.end_body(number, Headers::new()).unwrap();
    old.quiet();
    assert!(matches!(old.events(Role::Server)[..], [Event::Body(..), Event::BodyEnd(..)]));
    cut(&mut old);
    let (again, ..) = back(&mut old, &mut new, number);
    assert_eq!(new.events(Role::Server)[..], []);
    new.respond(again, &ok());
    new.finish(again, 0);
}

#[test]
fn credit_counts_what_came_and_no_frame_is_paid_for_twice() {
    let (mut old, mut new) = (pair(), pair());
    let window = 17 * 1024;
    let number = old.open(&Request { credit: window, ..get() });
    old.respond(number, &ok());
    for _ in 0..40 {
        old.data(number, &[b'x'; 960]);
    }
    old.quiet();
    let mut found = pieces(&old.events(Role::Client), number).len();
    assert_eq!(found, 17);
    cut(&mut old);
    for _ in 0..3 {
        old.client.taken(number, 960);
    }
    let (again, resume, events) = back(&mut old, &mut new, number);
    // Of what the client could take, nothing was left but what its program took; and one full frame is always allowed.
    assert_eq!(resume.credit, limits::CREDIT_MIN);
    found += pieces(&events, again).len();
    assert_eq!(found, 17 + 16);
    while found < 40 {
        assert!((0..8).any(|_| new.client.taken(again, 960)), "credit goes back");
        new.quiet();
        found += pieces(&new.events(Role::Client), again).len();
    }
    new.finish(again, 40 * 960);
}

#[test]
fn what_has_arrived_is_kept_no_longer_and_a_silent_session_asks_by_itself() {
    let mut pair = pair();
    let number = pair.open(&post(BodyLength::Unknown));
    pair.respond(number, &ok());
    pair.body(number, &[b'u'; 1000]);
    for _ in 0..10 {
        pair.data(number, &[b'd'; 100]);
    }
    pair.quiet();
    assert!(pair.server.queued() > 10 * 100 && pair.client.queued() > 1000);
    let writes = (pair.to_client.writes.len(), pair.to_server.writes.len());
    pair.pass(limits::ARRIVAL_TIME);
    assert_eq!((pair.server.queued(), pair.client.queued()), (0, 0));
    let asked = (pair.to_client.writes.len() - writes.0, pair.to_server.writes.len() - writes.1);
    assert!(asked.0 <= 2 && asked.1 <= 2, "a PING and a PONG each way, or both at once: {asked:?}");
    pair.pass(secs(9));
    assert_eq!(pair.to_client.writes.len() - writes.0, asked.0, "nothing more to ask");
    let can = |next| pair.server.can_resume(number, &from(next));
    assert!(can(11) && !can(10) && !can(12));
}

#[test]
fn what_is_asked_goes_with_what_is_said_and_a_fast_stream_asks_sooner() {
    let mut pair = granting(Hold { keep: 8 << 20, ..hold() });
    let number = pair.open(&get());
    pair.respond(number, &ok());
    let before = pair.to_client.writes.len();
    for _ in 0..100 {
        pair.data(number, b"token");
        pair.pass(ms(100));
    }
    assert_eq!(pair.to_client.writes.len() - before, 100, "no record for it alone");
    assert!(pair.server.queued() <= 12 * (5 + FRAME_COST), "{}", pair.server.queued());
    for _ in 0..100 {
        pair.data(number, &[b'f'; 10_000]);
        pair.quiet();
        pair.client.taken(number, 10_000);
        assert!(pair.server.queued() < limits::ARRIVAL_COST + 20_000, "{}", pair.server.queued());
    }
}

#[test]
fn a_peer_that_answers_no_ping_is_sent_no_more_than_a_session_may_keep() {
    let mut peer =
        Scripted::client_with(server_config(), &Terms { hold: Some(Hold { keep: 64 << 20, ..hold() }), ..Terms::default() });
    peer.say(&[0]);
    for number in 1..=6 {
        peer.frame(
            number,
            &Frame::Request(Box::new(Request { id: [u8::try_from(number).unwrap(); 16], credit: 1 << 30, ..get() })),
        );
        peer.subject.respond(peer.now, number, &ok()).unwrap();
        peer.subject.send_data(peer.now, number, vec![b'x'; 1 << 20].into()).unwrap();
    }
    let mut heard = peer.hear();
    let bytes = |heard: &[(u32, Frame)]| -> usize {
        heard.iter().map(|(_, frame)| if let Frame::Data { payload, .. } = frame { payload.len() } else { 0 }).sum()
    };
    assert!((4_000_000..4_300_000).contains(&bytes(&heard)), "{}", bytes(&heard));
    while bytes(&heard) < 6 << 20 {
        let ping = heard.iter().rev().find_map(|(_, frame)| if let Frame::Ping(ping) = frame { Some(*ping) } else { None });
        peer.frame(0, &Frame::Pong(ping.expect("it asks")));
        let more = peer.hear();
        assert!(bytes(&more) > 0, "it goes on");
        heard.extend(more);
    }
}

#[test]
fn an_exchange_is_settled_when_its_end_has_arrived() {
    let mut pair = pair();
    let number = pair.open(&get());
    pair.respond(number, &ok());
    pair.finish(number, 0);
    assert!(pair.server.drain_settled().next().is_none());
    pair.pass(limits::ARRIVAL_TIME);
    assert_eq!(pair.server.drain_settled().collect::<Vec<_>>(), [number]);
    assert!(!pair.server.can_resume(number, &from(0)));
}

#[test]
fn a_client_that_leaves_in_order_has_seen_the_end_of_all() {
    let mut pair = pair();
    let number = pair.open(&get());
    pair.respond(number, &ok());
    pair.finish(number, 0);
    pair.client.go_away(None, "");
    pair.quiet();
    assert_eq!(pair.server.drain_settled().collect::<Vec<_>>(), [number]);
    assert!(!pair.server.holds_any());
}

#[test]
fn what_has_left_the_ring_is_gone_and_never_begun_again_silently() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&Request { credit: 1 << 20, ..get() });
    old.respond(number, &ok());
    old.to_client.cut = true;
    for _ in 0..100 {
        old.data(number, &[b'x'; 1000]);
        old.flush();
    }
    assert!(old.server.queued() <= KEEP, "bounded");
    cut(&mut old);
    let (again, _, events) = back(&mut old, &mut new, number);
    assert_eq!(events[..], [Event::Gone(again)]);
    let held = new.client.take(again).unwrap();
    assert!(new.client.ask_again(held).is_err(), "a part of the answer is there: it cannot begin anew");
}

#[test]
fn the_upstream_of_a_held_answer_is_read_until_the_ring_is_full_and_on_when_it_goes_on() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&get());
    old.respond(number, &ok());
    cut(&mut old);
    let mut given = 0;
    while old.server.has_room(number) {
        old.data(number, &[b'x'; 1000]);
        given += 1;
    }
    assert!((55..=65).contains(&given), "{given}");
    let (again, _, events) = back(&mut old, &mut new, number);
    assert_eq!(pieces(&events, again).len(), given);
    assert!(new.server.has_room(again));
}

#[test]
fn an_upload_that_has_no_session_waits_with_a_queue_that_is_full() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&post(BodyLength::Unknown));
    cut(&mut old);
    let mut given = 0;
    while old.client.has_room(number) {
        old.body(number, &[b'x'; 10]);
        given += 1;
        assert!(given < 10_000, "it is bounded");
    }
    let (again, ..) = back(&mut old, &mut new, number);
    assert!(new.client.has_room(again));
    assert_eq!(pieces(&new.events(Role::Server), again).len(), given);
}

#[test]
fn many_that_are_held_share_what_there_is_for_all() {
    let mut old = pair();
    let number = old.open(&get());
    old.respond(number, &ok());
    cut(&mut old);
    assert_eq!(old.server.held(), 1);
    assert!(!old.server.share(10_000), "less than it may have by itself");
    let fill = |old: &mut Pair| {
        while old.server.has_room(number) {
            old.data(number, &[b'x'; 1000]);
        }
        old.server.queued()
    };
    assert!((10_000..12_000).contains(&fill(&mut old)));
    assert!(old.server.share(usize::MAX), "more than before");
    assert!((KEEP..KEEP + 2000).contains(&fill(&mut old)), "and no more than it may have by itself");
}

#[test]
fn of_two_that_come_back_the_last_has_it_and_the_other_is_told() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&get());
    old.respond(number, &ok());
    old.data(number, b"first,");
    old.quiet();
    assert_eq!(text(&old.events(Role::Client), number), "first,");
    // The server does not know that the old session is gone; the client's side of it is.
    old.client.receive_end();
    let (again, resume, _) = back(&mut old, &mut new, number);
    assert_eq!(resume.next, 2);
    assert_eq!(old.server.open_exchanges(), 0);
    old.flush();
    assert!(!old.server.is_closed(), "the others of that session go on");
    new.data(again, b"second");
    new.quiet();
    assert_eq!(text(&new.events(Role::Client), again), "second");
    new.finish(again, 12);
}

#[test]
fn one_that_was_under_way_for_long_takes_nothing_from_a_later_one() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&get());
    cut(&mut old);
    let (again, resume, _) = back(&mut old, &mut new, number);
    assert!(new.server.can_resume(again, &Resume { attempt: resume.attempt + 1, ..resume }));
    assert!(!new.server.can_resume(again, &Resume { attempt: resume.attempt - 1, ..resume }));
}

#[test]
fn a_session_that_lost_an_exchange_to_another_may_come_back_for_it() {
    let mut pair = pair();
    let number = pair.open(&get());
    pair.respond(number, &ok());
    drop(pair.server.take(number).unwrap());
    pair.quiet();
    assert_eq!(pair.events(Role::Client)[..], [Event::Adrift(number)]);
    assert!(pair.client.can_go_on(number, false));
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
}

#[test]
fn what_never_reached_the_server_is_asked_anew_with_the_same_id() {
    let (mut old, mut new) = (pair(), pair());
    old.to_server.cut = true;
    let request = post(BodyLength::Known(3));
    let number = old.client.request(old.now, &request).unwrap();
    old.body(number, b"abc");
    old.client.end_body(number, Headers::new()).unwrap();
    old.quiet();
    cut(&mut old);
    assert_eq!(closed(&old.events(Role::Client)).map(Closed::is_cut), Some(true));
    let (again, _, events) = back(&mut old, &mut new, number);
    assert_eq!(events[..], [Event::Gone(again)]);
    assert!(new.client.can_go_on(again, true));
    let held = new.client.take(again).unwrap();
    let anew = new.client.ask_again(held).unwrap();
    new.quiet();
    let events = new.events(Role::Server);
    assert_eq!(events[0], Event::Request(anew, Box::new(request)));
    assert_eq!(text(&events, anew), "abc");
    // It had arrived after all: the client goes back to asking for the first.
    let notice = Notice::new(Code::DuplicateRequest, Fault::Client, "twice");
    new.server.fail(anew, &notice).unwrap();
    new.quiet();
    assert_eq!(new.events(Role::Client)[..], [Event::Adrift(anew)]);
    assert!(new.client.can_go_on(anew, false) && !new.client.can_go_on(anew, true));
}

#[test]
fn what_is_cancelled_before_it_is_asked_anew_is_looked_for_once_more() {
    let (mut peer, again) = resuming();
    peer.frame(again, &Frame::Gone);
    assert_eq!(peer.events()[..], [Event::Gone(again)]);
    peer.subject.cancel(again, CancelReason::CallerGone);
    assert!(peer.subject.can_go_on(again, true));
    let held = peer.subject.take(again).unwrap();
    let last = peer.subject.ask_again(held).unwrap();
    assert!(matches!(peer.hear()[..], [(number, Frame::Resume(_))] if number == last), "its REQUEST may have arrived since");
    peer.frame(last, &Frame::Gone);
    assert!(!peer.subject.holds(last) && peer.events().is_empty());
}

/// An exchange that was asked anew, behind a REQUEST that never arrived. Of its body, `sent` is there.
fn anew(body: BodyLength, sent: &'static [u8]) -> (Pair, u32) {
    let (mut old, mut new) = (pair(), pair());
    old.to_server.cut = true;
    let number = old.client.request(old.now, &post(body)).unwrap();
    old.body(number, sent);
    old.quiet();
    cut(&mut old);
    let (again, ..) = back(&mut old, &mut new, number);
    let held = new.client.take(again).unwrap();
    let anew = new.client.ask_again(held).unwrap();
    new.quiet();
    (new, anew)
}

#[test]
fn one_that_was_asked_anew_is_asked_elsewhere_only_if_it_is_its_session_that_refuses_it() {
    for (code, elsewhere) in [(Code::ShuttingDown, true), (Code::TooManyExchanges, true), (Code::Overloaded, false)] {
        let (mut new, anew) = anew(BodyLength::Unknown, b"abc");
        let notice = Notice::new(code, Fault::Proxy, "").retry_safe();
        new.server.fail(anew, &notice).unwrap();
        new.quiet();
        // The first REQUEST may have got further than this one.
        let told = Notice { retry: false, ..notice };
        let expected = if elsewhere { Event::Adrift(anew) } else { Event::Failed(anew, told) };
        assert_eq!(new.events(Role::Client)[..], [expected]);
        assert_eq!(new.client.can_go_on(anew, true), elsewhere);
    }
    // What is not here any more cannot be asked anywhere.
    let (mut new, anew) = anew(BodyLength::Unknown, b"abc");
    new.pass(limits::ARRIVAL_TIME);
    let notice = Notice::new(Code::ShuttingDown, Fault::Proxy, "").retry_safe();
    new.server.fail(anew, &notice).unwrap();
    new.quiet();
    assert_eq!(new.events(Role::Client)[..], [Event::Failed(anew, Notice { retry: false, ..notice })]);
}

#[test]
fn of_one_that_was_asked_anew_and_cancelled_the_first_is_cancelled_if_it_has_arrived() {
    let (mut new, anew) = anew(BodyLength::Unknown, b"abc");
    new.client.cancel(anew, CancelReason::CallerGone);
    new.server.fail(anew, &Notice::new(Code::DuplicateRequest, Fault::Client, "twice")).unwrap();
    new.quiet();
    assert_eq!(new.events(Role::Client)[..], [Event::Adrift(anew)]);
    new.events(Role::Server);
    let held = new.client.take(anew).unwrap();
    let last = new.client.resume(held).unwrap();
    new.quiet();
    assert!(matches!(new.events(Role::Server)[..], [Event::Resume(number, _)] if number == last));
}

#[test]
fn one_that_waits_for_a_session_is_cancelled_there_or_forgotten_if_no_server_has_seen_it() {
    let (mut old, mut new) = (pair(), pair());
    let seen = old.open(&get());
    let unseen = old.client.request(old.now, &get()).unwrap();
    cut(&mut old);
    for number in [seen, unseen] {
        assert!(old.client.holds(number));
        old.client.cancel(number, CancelReason::CallerGone);
    }
    assert!(!old.client.holds(unseen));
    assert_eq!(old.client.cancels().collect::<Vec<_>>(), [seen]);
    let (again, _, events) = back(&mut old, &mut new, seen);
    assert!(events.is_empty(), "its caller has gone: {events:?}");
    assert_eq!(new.events(Role::Server)[..], [Event::Cancelled(again, CancelReason::CallerGone)]);
}

#[test]
fn one_that_was_forgotten_and_then_cancelled_outlives_no_session() {
    let mut pair = pair();
    let number = pair.open(&get());
    pair.client.forget(number);
    pair.client.cancel(number, CancelReason::CallerGone);
    cut(&mut pair);
    assert!(!pair.client.holds_any());
}

#[test]
fn a_server_that_cuts_a_session_calls_no_refused_duplicate_safe_to_repeat() {
    let mut pair = pair();
    let (first, second) = (pair.client.request(pair.now, &get()).unwrap(), pair.client.request(pair.now, &get()).unwrap());
    pair.flush();
    pair.deliver();
    pair.server.fail(second, &Notice::new(Code::DuplicateRequest, Fault::Client, "twice")).unwrap();
    pair.server.cut(&Notice::new(Code::KeyRevoked, Fault::Client, "no more"));
    pair.quiet();
    let retry = |number| {
        move |event: &Event| {
            if let Event::Failed(failed, notice) = event { (*failed == number).then_some(notice.retry) } else { None }
        }
    };
    let events = pair.events(Role::Client);
    assert_eq!(events.iter().find_map(retry(first)), Some(true), "{events:?}");
    assert_eq!(events.iter().find_map(retry(second)), Some(false), "{events:?}");
}

#[test]
fn an_upstream_that_cannot_have_had_all_of_a_request_is_known() {
    let mut pair = pair();
    let whole = pair.client.request(pair.now, &get()).unwrap();
    let part = pair.client.request(pair.now, &post(BodyLength::Unknown)).unwrap();
    assert!(!pair.client.was_asked(whole) && !pair.client.was_asked(part));
    pair.quiet();
    assert!(pair.client.was_asked(whole) && !pair.client.was_asked(part));
    pair.client.end_body(part, Headers::new()).unwrap();
    pair.quiet();
    cut(&mut pair);
    assert!(pair.client.was_asked(part), "also when it waits for another session");
    assert!(pair.client.was_asked(99), "of what is not known, nothing is promised");
}

#[test]
fn who_can_open_nothing_gives_back_what_it_was_to_go_on_with() {
    let mut old = pair();
    let number = old.open(&get());
    cut(&mut old);
    let held = old.client.take(number).unwrap();
    // A session that is over, one that is full, one that ends, and a server's end.
    let (mut over, mut full, mut ending) =
        (pair(), Pair::with(client_config(), ServerConfig { exchanges: 1, ..server_config() }).establish(), pair());
    over.client.receive_end();
    full.open(&get());
    ending.client.go_away(None, "");
    let held = over.client.resume(held).unwrap_err();
    let held = full.client.resume(held).unwrap_err();
    let held = ending.client.ask_again(held).unwrap_err();
    let held = pair().server.resume(held).unwrap_err();
    let mut new = pair();
    assert_eq!(new.client.resume(held).unwrap(), 1);
}

#[test]
fn one_that_cannot_be_adopted_is_put_back_and_held_on() {
    let mut old = pair();
    let number = old.open(&get());
    cut(&mut old);
    let held = old.server.take(number).unwrap();
    assert!(!old.server.holds(number));
    old.server.put_back(number, held);
    assert!(old.server.can_resume(number, &from(0)));
    // The session that asked for it is over before it has it: it waits there.
    let mut new = pair();
    new.server.receive_end();
    new.events(Role::Server);
    let held = old.server.take(number).unwrap();
    new.server.adopt(1, held, &from(0));
    assert!(new.server.holds(1) && new.server.can_resume(1, &from(0)) && !new.flush());
}

#[test]
fn a_server_adopts_while_it_is_up_and_has_a_place() {
    let pair = Pair::with(client_config(), ServerConfig { exchanges: 1, ..server_config() });
    assert!(!pair.server.can_adopt(), "before the handshake");
    let mut pair = pair.establish();
    assert!(pair.server.can_adopt());
    let number = pair.open(&get());
    assert!(!pair.server.can_adopt(), "it is full");
    pair.respond(number, &ok());
    pair.finish(number, 0);
    assert!(pair.server.can_adopt());
    pair.server.receive_end();
    assert!(!pair.server.can_adopt());
}

#[test]
fn only_a_path_that_ended_a_session_lets_its_exchanges_go_on() {
    let notice = |code| Closed::Refused(Notice::new(code, Fault::Proxy, ""));
    let cut = [
        Closed::Lost { in_hello: false },
        Closed::TimedOut { in_hello: false },
        Closed::Fault(Error::Unauthentic("record")),
        notice(Code::Unauthentic),
    ];
    let ended = [
        Closed::Lost { in_hello: true },
        Closed::TimedOut { in_hello: true },
        Closed::Fault(Error::Malformed("")),
        notice(Code::Violation),
        Closed::Done,
        Closed::ProfileRefused(Profile::Off),
    ];
    assert!(cut.iter().all(Closed::is_cut) && !ended.iter().any(Closed::is_cut));
}

#[test]
fn what_its_program_forgets_ends_with_the_session() {
    let mut pair = pair();
    let number = pair.open(&get());
    assert!(pair.server.can_resume(number, &from(0)));
    pair.server.forget(number);
    assert!(pair.server.is_open(number) && !pair.server.can_resume(number, &from(0)));
    cut(&mut pair);
    assert!(!pair.server.holds(number));
}

#[test]
fn an_end_that_is_not_kept_is_settled_at_once() {
    let mut pair = granting(Hold { keep: 1, ..hold() });
    let number = pair.open(&get());
    pair.respond(number, &ok());
    pair.finish(number, 0);
    assert_eq!(pair.server.drain_settled().collect::<Vec<_>>(), [number]);
}

#[test]
fn a_client_that_leaves_with_something_open_says_nothing_of_what_it_has_seen() {
    let mut pair = pair();
    let (seen, open) = (pair.open(&get()), pair.open(&Request { id: [8; 16], ..get() }));
    pair.respond(seen, &ok());
    pair.finish(seen, 0);
    pair.client.go_away(None, "");
    pair.quiet();
    assert!(pair.server.drain_settled().next().is_none());
    assert!(pair.server.can_resume(seen, &from(1)) && pair.server.is_open(open));
}

#[test]
fn a_client_has_no_time_for_which_it_holds() {
    let mut pair = pair();
    let number = pair.client.request(pair.now, &get()).unwrap();
    pair.client.receive_end();
    assert!(pair.client.is_new(number));
    pair.client.expire(pair.now, false);
    assert!(!pair.client.holds_any(), "what its program wants no more ends at once");
    assert!(pair.client.drain_settled().next().is_none());
}

#[test]
fn one_whose_session_refuses_it_may_go_on_in_another() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&get());
    cut(&mut old);
    new.server.go_away(None, "");
    let held = old.client.take(number).unwrap();
    let again = new.client.resume(held).unwrap();
    new.quiet();
    let events = new.events(Role::Client);
    assert!(events.contains(&Event::Adrift(again)), "{events:?}");
    assert!(new.client.can_go_on(again, false) && old.server.can_resume(number, &from(0)));
}

#[test]
fn what_was_cancelled_is_not_held_and_one_cancelled_on_the_way_back_ends_the_upstream() {
    let (mut old, mut new) = (pair(), pair());
    let cancelled = old.open(&get());
    old.client.cancel(cancelled, CancelReason::CallerGone);
    old.quiet();
    assert_eq!(old.events(Role::Server)[..], [Event::Cancelled(cancelled, CancelReason::CallerGone)]);
    let number = old.open(&Request { id: [8; 16], ..get() });
    cut(&mut old);
    assert!(!old.server.holds(cancelled) && !old.client.holds(cancelled));
    old.client.cancel(number, CancelReason::CallerGone);
    let (again, _, events) = back(&mut old, &mut new, number);
    assert_eq!(events[..], [], "nobody wants to know");
    assert_eq!(new.events(Role::Server)[..], [Event::Cancelled(again, CancelReason::CallerGone)]);
    assert_eq!((new.client.open_exchanges(), new.server.open_exchanges()), (0, 0));
}

#[test]
fn a_hold_ends_in_time() {
    let mut old = pair();
    let number = old.open(&get());
    cut(&mut old);
    let start = old.now;
    old.server.expire(start, false);
    old.server.expire(start + ms(59_999), false);
    assert!(old.server.holds(number));
    old.server.expire(start + secs(60), false);
    assert!(!old.server.holds(number));
    assert_eq!(old.server.drain_settled().collect::<Vec<_>>(), [number]);
    let (_, _, events) = {
        let mut new = pair();
        back(&mut old, &mut new, number)
    };
    assert!(matches!(events[..], [Event::Gone(_)]));
}

#[test]
fn a_finish_waits_for_the_end_of_the_answer_and_holds_it_from_there() {
    let mut old = granting(Hold { finish: true, ..hold() });
    let unasked = old.open(&Request { id: [9; 16], ..post(BodyLength::Unknown) });
    let (slow, full) = (old.open(&get()), old.open(&Request { id: [8; 16], ..get() }));
    for number in [slow, full] {
        old.respond(number, &ok());
    }
    cut(&mut old);
    while old.server.has_room(full) {
        old.data(full, &[b'x'; 1000]);
    }
    let start = old.now;
    old.server.expire(start, false);
    old.server.expire(start + secs(60), false);
    assert!(old.server.holds(slow) && !old.server.holds(full), "one that cannot be read on cannot be waited for");
    assert!(!old.server.holds(unasked), "nor one of which the rest does not come");
    old.server.send_data(start + secs(300), slow, "done".into()).unwrap();
    old.server.end(slow, Headers::new()).unwrap();
    old.server.expire(start + ms(359_999), false);
    assert!(old.server.holds(slow));
    old.server.expire(start + secs(360), false);
    assert!(!old.server.holds(slow));
}

#[test]
fn all_that_is_held_can_be_ended_at_once() {
    let mut old = pair();
    let number = old.open(&get());
    cut(&mut old);
    old.server.expire(old.now, true);
    assert!(!old.server.holds(number) && !old.server.holds_any());
}

#[test]
fn who_ends_a_session_holds_nothing_of_it() {
    let mut pair = pair();
    let number = pair.open(&get());
    pair.server.cut(&Notice::new(Code::KeyRevoked, Fault::Client, "revoked"));
    pair.to_client.cut = true;
    cut(&mut pair);
    assert!(!pair.server.holds(number));
}

#[test]
fn a_peer_that_breaks_the_rules_comes_back_for_nothing() {
    let mut peer = Scripted::client_with(server_config(), &Terms { hold: Some(hold()), ..Terms::default() });
    peer.frame(1, &Frame::Request(Box::new(get())));
    peer.frame(7, &Frame::Credit(1));
    assert!(peer.subject.is_closed() && !peer.subject.holds_any());
}

#[test]
fn a_server_without_holds_answers_every_resume_with_gone() {
    let mut peer = Scripted::established_client(server_config());
    peer.frame(1, &Frame::Resume(from(0)));
    assert_eq!(peer.hear()[..], [(1, Frame::Gone)]);
    assert_eq!(peer.events()[..], []);
}

/// A client that has sent RESUME to a scripted server.
fn resuming() -> (Scripted, u32) {
    let mut old = pair();
    let number = old.open(&post(BodyLength::Known(10)));
    old.body(number, b"abc");
    old.quiet();
    cut(&mut old);
    resume_at_a_scripted_server(&mut old, number)
}

/// The same, for an exchange that this client holds.
fn resume_at_a_scripted_server(old: &mut Pair, number: u32) -> (Scripted, u32) {
    let said = ServerHello { hold: 60, instance: Some([1; 8]), ..server_hello(Profile::Pad) };
    let mut peer = Scripted::server(client_config(), &said);
    let held = old.client.take(number).unwrap();
    let again = peer.subject.resume(held).unwrap();
    let heard = peer.hear();
    assert!(matches!(heard[..], [(1, Frame::Resume(_))]), "{heard:?}");
    peer.events();
    (peer, again)
}

#[test]
fn no_credit_is_sent_before_the_answer_to_a_resume_and_none_is_lost() {
    let mut old = pair();
    let number = old.open(&Request { credit: 17 * 1024, ..get() });
    old.respond(number, &ok());
    for _ in 0..17 {
        old.data(number, &[b'x'; 960]);
    }
    old.quiet();
    cut(&mut old);
    let (mut peer, again) = resume_at_a_scripted_server(&mut old, number);
    for _ in 0..17 {
        assert!(!peer.subject.taken(again, 960), "nothing is to be sent");
    }
    assert_eq!(peer.hear()[..], []);
    peer.frame(again, &Frame::Resumed(Resumed { received: 0, credit: 1 << 20 }));
    assert_eq!(peer.hear()[..], [(again, Frame::Credit(17 * 1024))]);
}

#[test]
fn nothing_of_an_answer_may_come_before_the_answer_to_a_resume() {
    let error = |code| Frame::Error { seq: 2, notice: Notice::new(code, Fault::Proxy, "") };
    // Each would be the next frame of the answer.
    let early = [
        Frame::Data { seq: 2, payload: "x".into() },
        Frame::End { seq: 2, end: End { total: 5, ..End::default() } },
        error(Code::Internal),
        error(Code::Superseded),
    ];
    for frame in early {
        let mut old = pair();
        let number = old.open(&get());
        old.respond(number, &ok());
        old.data(number, b"first");
        old.quiet();
        cut(&mut old);
        let (mut peer, again) = resume_at_a_scripted_server(&mut old, number);
        peer.frame(again, &frame);
        refused(&mut peer, Code::Sequence);
    }
    let (mut peer, again) = resuming();
    peer.frame(again, &Frame::Response(Response { status: 200, headers: vec![], length: None }));
    refused(&mut peer, Code::Sequence);
}

#[test]
fn what_was_not_asked_yet_has_no_answer() {
    let said = ServerHello { hold: 60, instance: Some([1; 8]), ..server_hello(Profile::Pad) };
    let held = || {
        let mut old = pair();
        let number = old.open(&post(BodyLength::Known(10)));
        old.body(number, b"abc");
        old.quiet();
        cut(&mut old);
        old.client.take(number).unwrap()
    };
    let ask: [fn(&mut Scripted, Held) -> u32; 2] = [
        |peer, held| peer.subject.resume(held).unwrap_or_else(|_| panic!("it can be opened")),
        |peer, _| peer.subject.request(peer.now, &get()).unwrap(),
    ];
    let error = Frame::Error { seq: 0, notice: Notice::new(Code::ShuttingDown, Fault::Proxy, "") };
    for ask in ask {
        for frame in [Frame::Resumed(Resumed { received: 3, credit: 1000 }), Frame::Gone, Frame::Response(ok()), error.clone()]
        {
            let mut peer = Scripted::server(client_config(), &said);
            let number = ask(&mut peer, held());
            peer.events();
            peer.frame(number, &frame);
            refused(&mut peer, Code::Sequence);
        }
    }
}

#[test]
fn a_server_may_have_a_part_of_a_piece() {
    for received in 0..=3 {
        let (mut peer, again) = resuming();
        peer.frame(again, &Frame::Resumed(Resumed { received, credit: 1000 }));
        assert_eq!(peer.events()[..], [Event::Resumed(again)]);
        peer.subject.send_body(peer.now, again, "defghij".into()).unwrap();
        let heard = peer.hear();
        let sent: Vec<u8> = heard
            .iter()
            .flat_map(|(_, frame)| if let Frame::Body(bytes) = frame { bytes.to_vec() } else { panic!("{frame:?}") })
            .collect();
        assert_eq!(sent, b"abcdefghij"[usize::try_from(received).unwrap()..]);
        assert_eq!(peer.subject.queued(), 10 - usize::try_from(received).unwrap() + heard.len() * FRAME_COST);
    }
}

#[test]
fn a_resume_that_is_refused_leaves_the_exchange_as_it_was() {
    for code in [Code::TooManyExchanges, Code::ShuttingDown] {
        let (mut peer, again) = resuming();
        peer.frame(again, &Frame::Error { seq: 0, notice: Notice::new(code, Fault::Proxy, "").retry_safe() });
        assert_eq!(peer.events()[..], [Event::Adrift(again)]);
        assert!(peer.subject.can_go_on(again, false) && !peer.subject.is_closed());
        let held = peer.subject.take(again).unwrap();
        let last = peer.subject.resume(held).unwrap();
        assert!(matches!(peer.hear()[..], [(number, Frame::Resume(resume))] if number == last && resume.attempt == 2));
    }
    // What a server says to one that is too many.
    let terms = Terms { hold: Some(hold()), ..Terms::default() };
    let mut peer = Scripted::client_with(ServerConfig { exchanges: 1, ..server_config() }, &terms);
    peer.frame(1, &Frame::Request(Box::new(get())));
    peer.frame(2, &Frame::Resume(from(0)));
    let heard = peer.hear();
    assert!(matches!(&heard[..], [(2, Frame::Error { seq: 0, notice })] if notice.code == Code::TooManyExchanges), "{heard:?}");
    assert!(matches!(peer.events()[..], [Event::Established(_), Event::Request(..)]), "its program is not asked");
}

#[test]
fn what_was_cancelled_on_the_way_back_is_held_until_the_server_has_heard_of_it_or_has_nothing() {
    let (mut peer, again) = resuming();
    peer.subject.cancel(again, CancelReason::CallerGone);
    peer.frame(again, &Frame::Gone);
    assert!(peer.events().is_empty() && !peer.subject.holds(again) && !peer.subject.is_closed());
    assert_eq!(peer.subject.open_exchanges(), 0);

    let error = |code| (again, Frame::Error { seq: 0, notice: Notice::new(code, Fault::Proxy, "") });
    let unserved = Frame::GoAway(GoAway { code: None, last: again - 1, text: String::new(), after: None });
    let not_here = [error(Code::Superseded), error(Code::TooManyExchanges), error(Code::ShuttingDown), (0, unserved)];
    for (exchange, answer) in not_here {
        let (mut peer, again) = resuming();
        peer.subject.cancel(again, CancelReason::CallerGone);
        peer.frame(exchange, &answer);
        assert_eq!(peer.events()[0], Event::Adrift(again), "{answer:?}");
        assert_eq!((peer.subject.open_exchanges(), peer.subject.holds(again)), (0, true), "{answer:?}");
        if let Some(held) = peer.subject.take(again)
            && let Ok(last) = peer.subject.resume(held)
        {
            assert!(matches!(peer.hear()[..], [(number, Frame::Resume(_))] if number == last));
            peer.frame(last, &Frame::Resumed(Resumed { received: 3, credit: 1000 }));
            assert!(matches!(peer.hear()[..], [(number, Frame::Cancel(CancelReason::CallerGone))] if number == last));
        }
    }
}

/// The subject has ended the session for this reason.
fn refused(peer: &mut Scripted, code: Code) {
    let events = peer.events();
    assert!(matches!(closed(&events), Some(Closed::Fault(error)) if error.code() == code), "{events:?}");
}

#[test]
fn a_server_cannot_have_more_of_a_body_than_there_is_or_answer_a_resume_twice() {
    let (mut peer, again) = resuming();
    peer.frame(again, &Frame::Resumed(Resumed { received: 4, credit: 1000 }));
    refused(&mut peer, Code::Violation);
    let (mut peer, again) = resuming();
    peer.frame(again, &Frame::Resumed(Resumed { received: 3, credit: 1000 }));
    assert_eq!(peer.events()[..], [Event::Resumed(again)]);
    peer.frame(again, &Frame::Resumed(Resumed { received: 3, credit: 1000 }));
    refused(&mut peer, Code::Violation);
}

#[test]
fn what_of_a_body_came_behind_the_queued_end_of_the_answer_counts_as_received() {
    let (mut old, mut new) = (pair(), pair());
    let number = old.open(&Request { credit: limits::CREDIT_MIN, ..post(BodyLength::Known(10)) });
    old.respond(number, &ok());
    // More than the client takes: the end waits, and with it what the client is told.
    old.data(number, &vec![b'x'; limits::RECORD_PLAINTEXT]);
    old.data(number, b"last");
    old.server.end(number, Headers::new()).unwrap();
    old.body(number, b"abc");
    old.quiet();
    assert!(!old.events(Role::Server).iter().any(|event| matches!(event, Event::Body(..))), "nobody wants it");
    old.pass(limits::ARRIVAL_TIME);
    assert_eq!(old.client.queued(), 0, "the client has let go of what arrived");
    cut(&mut old);
    let (again, _, events) = back(&mut old, &mut new, number);
    assert_eq!(events[0], Event::Resumed(again));
    assert!(!new.client.is_closed() && !new.server.is_closed());
}

/// A server whose client has sent a request, and behind it a piece of its body and a PING.
fn asked_and_pinged() -> Scripted {
    let mut peer = Scripted::client_with(server_config(), &Terms { hold: Some(hold()), ..Terms::default() });
    peer.frame(1, &Frame::Request(Box::new(post(BodyLength::Unknown))));
    peer.frame(1, &Frame::Body("abc".into()));
    peer.frame(0, &Frame::Ping(PING));
    peer
}

const PING: Ping = Ping { token: [5; 8], silence: 0 };

#[test]
fn a_pong_comes_behind_the_refusal_of_what_came_before_its_ping() {
    let mut peer = asked_and_pinged();
    assert_eq!(peer.hear()[..], [], "the program was not asked yet");
    assert!(peer.events().iter().any(|event| matches!(event, Event::Request(1, _))));
    peer.subject.fail(1, &Notice::new(Code::DuplicateRequest, Fault::Client, "twice")).unwrap();
    let heard = peer.hear();
    assert!(matches!(heard[..], [(1, Frame::Error { seq: 0, .. }), (0, Frame::Pong(PING))]), "{heard:?}");
    // And one that is not refused is confirmed at once.
    let mut peer = asked_and_pinged();
    peer.events();
    assert!(matches!(peer.hear()[..], [(0, Frame::Pong(PING))]));
}

#[test]
fn a_pong_comes_behind_all_refusals_however_little_room_they_leave_it() {
    const COUNT: u32 = 32;
    const TEXT: usize = 497;
    let refusal = |size: usize| Notice::new(Code::DuplicateRequest, Fault::Client, "x".repeat(size));
    let size = |text: usize| encoded(1, &Frame::Error { seq: 0, notice: refusal(text) }).len();
    let most = limits::RECORD_PLAINTEXT - (COUNT as usize - 1) * size(TEXT);
    // From a record that is full to one with room for a PONG, and one refusal in a record of its own.
    for room in -1..16 {
        let last = most.checked_add_signed(-room).unwrap() - (size(TEXT) - TEXT);
        let mut peer = Scripted::client_with(server_config(), &Terms { hold: Some(hold()), ..Terms::default() });
        for number in 1..=COUNT {
            peer.frame(number, &Frame::Request(get().into()));
        }
        peer.frame(0, &Frame::Ping(PING));
        peer.events();
        for number in 1..=COUNT {
            peer.subject.fail(number, &refusal(if number == COUNT { last } else { TEXT })).unwrap();
        }
        let heard = peer.hear();
        let (refusals, pong) = heard.split_at(COUNT as usize);
        assert!(refusals.iter().all(|(_, frame)| matches!(frame, Frame::Error { seq: 0, .. })), "{refusals:?}");
        assert!(matches!(pong, [(0, Frame::Pong(PING))]), "{room}: {pong:?}");
    }
}

#[test]
fn a_pong_comes_behind_the_word_that_an_exchange_has_gone_elsewhere() {
    let mut peer = asked_and_pinged();
    peer.events();
    assert!(matches!(peer.hear()[..], [(0, Frame::Pong(PING))]));
    drop(peer.subject.take(1).unwrap());
    peer.frame(1, &Frame::Body("thrown away".into()));
    peer.frame(0, &Frame::Ping(PING));
    let heard = peer.hear();
    let [(1, Frame::Error { notice, .. }), (0, Frame::Pong(PING))] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(notice.code, Code::Superseded);
}

#[test]
fn a_flood_of_resumes_ends_the_session() {
    let mut peer = Scripted::client_with(server_config(), &Terms { hold: Some(hold()), ..Terms::default() });
    peer.say(&[0]);
    for number in 1..=5000 {
        peer.frame(number, &Frame::Resume(from(0)));
        for event in peer.events() {
            if let Event::Resume(asked, _) = event {
                peer.subject.gone(asked);
            }
        }
        if peer.subject.is_closed() {
            return;
        }
    }
    panic!("what it is answered is not bounded");
}

#[test]
fn the_hello_names_node_and_instance() {
    let config = ServerConfig { node: Some("eu-1".into()), instance: [9; 8], ..server_config() };
    let mut pair = Pair::with(client_config(), config);
    pair.terms = Terms { hold: Some(hold()), ..Terms::default() };
    let pair = pair.establish();
    let said = pair.client.said().unwrap();
    assert_eq!((said.node.as_deref(), said.instance, said.hold), (Some("eu-1"), Some([9; 8]), 60));
}
