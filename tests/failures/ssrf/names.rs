//! Names that lead where they should not, by a DNS server that plays tricks.

use super::{
    Target, outcome,
    spellings::{NEVER, NOT_PUBLIC},
};
use crate::support::{
    dns::{Dns, Question, Reply},
    relay::Relay,
};

/// A name for an address: `n7.tricks.example` for the eighth of a list.
fn number(question: &Question) -> usize {
    question.name[1..].split('.').next().unwrap().parse().unwrap()
}

fn asked(dns: &Dns, name: &str) -> (usize, usize) {
    let asked = dns.asked();
    let count = |v6| asked.iter().filter(|question| question.name == name && question.v6 == v6).count();
    (count(false), count(true))
}

#[tokio::test]
async fn a_name_that_may_lead_to_the_internet_alone_leads_to_no_other_address() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let all = [NOT_PUBLIC, NEVER].concat();
    let dns = Dns::answering(move |question, _| Reply::of(question, &[all[number(question)]])).await;
    let count = NOT_PUBLIC.len() + NEVER.len();
    // Below a wildcard, and listed in full with the rule.
    let rule = |number| format!("[[origin]]\nat = 'http://n{number}.strict.example:{}'\nprivate = false\n", target.port);
    let rules = (0..count).map(rule).collect::<Vec<_>>().concat();
    let relay = Relay::with_allowed(&(dns.config() + &rules), &[&target.url("https://*.tricks.example:{port}")]).await;
    let client = relay.client();
    for number in 0..count {
        for at in [format!("https://n{number}.tricks.example:{{port}}/"), format!("http://n{number}.strict.example:{{port}}/")]
        {
            assert_eq!(outcome(&relay, &client, &target.url(&at)).await, "address-not-allowed", "{at}");
        }
    }
    assert_eq!(target.connections(), 0);
    println!("{} names that lead where they must not, all refused, no connection", 2 * count);
    assert!(2 * count >= 90);
}

#[tokio::test]
async fn a_name_never_leads_to_link_local_and_other_such_addresses() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let dns = Dns::answering(|question, _| Reply::of(question, &[NEVER[number(question)]])).await;
    let origins: Vec<_> = (0..NEVER.len()).map(|number| target.url(&format!("http://n{number}.example:{{port}}"))).collect();
    let relay = Relay::with_allowed(&dns.config(), &origins.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let client = relay.client();
    for origin in &origins {
        assert_eq!(outcome(&relay, &client, origin).await, "address-not-allowed", "{origin}");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn where_private_addresses_are_allowed_a_name_leads_there() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let dns = Dns::answering(|question, _| Reply::of(question, &["127.0.0.1"])).await;
    let rule = format!("[[origin]]\nat = 'https://*.tricks.example:{}'\nprivate = true\n", target.port);
    let relay = Relay::with_allowed(&(dns.config() + &rule), &[&target.url("http://llm.example:{port}")]).await;
    let client = relay.client();
    assert_eq!(outcome(&relay, &client, &target.url("http://llm.example:{port}/")).await, "204");
    // It gets there, and hears no TLS.
    let wildcard = outcome(&relay, &client, &target.url("https://a.tricks.example:{port}/")).await;
    assert_eq!((wildcard.as_str(), target.connections()), ("upstream-tls", 2));
}

#[tokio::test]
async fn an_alias_counts_for_where_it_leads() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let dns = Dns::answering(|question, _| Reply {
        through: vec!["cdn.example".into(), "localhost.internal.example".into()],
        ..Reply::of(question, &["127.0.0.1", "::1"])
    })
    .await;
    let origins = [target.url("https://*.tricks.example:{port}"), target.url("http://llm.example:{port}")];
    let relay = Relay::with_allowed(&dns.config(), &origins.each_ref().map(String::as_str)).await;
    let client = relay.client();
    let refused = outcome(&relay, &client, &target.url("https://a.tricks.example:{port}/")).await;
    assert_eq!((refused.as_str(), target.connections()), ("address-not-allowed", 0));
    assert_eq!(outcome(&relay, &client, &target.url("http://llm.example:{port}/")).await, "204");
}

#[tokio::test]
async fn of_several_addresses_only_those_that_are_allowed_are_called() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let dns = Dns::answering(|question, _| {
        let metadata = ["169.254.169.254", "0.0.0.0", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"];
        Reply::of(
            question,
            &if question.name.starts_with("mixed") { [&metadata[..], &["127.0.0.1"]].concat() } else { metadata.into() },
        )
    })
    .await;
    let origins = ["mixed", "never"].map(|name| target.url(&format!("http://{name}.example:{{port}}")));
    let relay = Relay::with_allowed(&dns.config(), &origins.each_ref().map(String::as_str)).await;
    let client = relay.client();
    assert_eq!(outcome(&relay, &client, &origins[0]).await, "204");
    assert_eq!(outcome(&relay, &client, &origins[1]).await, "address-not-allowed");
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn what_was_looked_up_is_what_is_called() {
    // Each question is answered by another address: a second one, between check and connection, would lead to the second target.
    let first = Target::at("127.0.0.1:0").await.unwrap();
    let second = Target::at(&format!("127.0.0.2:{}", first.port)).await;
    let dns =
        Dns::answering(|question, before| Reply::of(question, &[if before == 0 { "127.0.0.1" } else { "127.0.0.2" }])).await;
    let origin = first.url("http://rebinds.example:{port}");
    let relay = Relay::with_allowed(&dns.config(), &[&origin]).await;
    assert_eq!(outcome(&relay, &relay.client(), &origin).await, "204");
    assert_eq!((first.connections(), asked(&dns, "rebinds.example")), (1, (1, 1)), "one question for each kind of address");
    // Not every system has more than one loopback address.
    assert_eq!(second.map_or(0, |second| second.connections()), 0);
}

#[tokio::test]
async fn a_name_is_judged_anew_for_each_connection() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let answers = ["127.0.0.1", "169.254.169.254", "127.0.0.1", "64:ff9b::7f00:1"];
    let dns = Dns::answering(move |question, before| Reply::of(question, &[answers[before % answers.len()]])).await;
    let origin = target.url("http://rebinds.example:{port}");
    let relay = Relay::with_allowed(&dns.config(), &[&origin]).await;
    let client = relay.client();
    // Its connections are closed after each answer.
    for (at, expected) in ["204", "address-not-allowed", "204", "address-not-allowed"].iter().enumerate() {
        assert_eq!(outcome(&relay, &client, &origin).await, *expected);
        assert_eq!(asked(&dns, "rebinds.example"), (at + 1, at + 1));
    }
    assert_eq!(target.connections(), 2);
}

#[tokio::test]
async fn an_answer_counts_for_as_long_as_it_says() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let dns =
        Dns::answering(|question, _| Reply { ttl: 3600, ..Reply::of(question, &["127.0.0.1", "::ffff:127.0.0.1"]) }).await;
    let origin = target.url("http://lasting.example:{port}");
    let relay = Relay::with_allowed(&dns.config(), &[&origin]).await;
    let client = relay.client();
    for _ in 0..3 {
        assert_eq!(outcome(&relay, &client, &origin).await, "204");
    }
    assert_eq!((target.connections(), asked(&dns, "lasting.example")), (3, (1, 1)));
}

#[tokio::test]
async fn many_names_at_once_are_all_looked_up() {
    const NAMES: usize = 200;
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let dns = Dns::answering(|question, _| Reply::of(question, &["127.0.0.1"])).await;
    let origins: Vec<_> = (0..NAMES).map(|number| target.url(&format!("http://n{number}.example:{{port}}"))).collect();
    let relay = Relay::with_allowed(&dns.config(), &origins.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let client = relay.client();
    let outcomes = futures::future::join_all(origins.iter().map(|origin| outcome(&relay, &client, origin))).await;
    assert!(outcomes.iter().all(|outcome| outcome == "204"), "{outcomes:?}");
    assert_eq!(target.connections(), NAMES);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_over_tcp() {
    let target = Target::at("127.0.0.1:0").await.unwrap();
    let dns = Dns::answering(|question, _| {
        let answer = Reply::of(question, &["127.0.0.1"]);
        if question.over_tcp { answer } else { Reply { truncated: true, ..Reply::default() } }
    })
    .await;
    let origin = target.url("http://large.example:{port}");
    let relay = Relay::with_allowed(&dns.config(), &[&origin]).await;
    assert_eq!(outcome(&relay, &relay.client(), &origin).await, "204");
    assert!(dns.asked().iter().any(|question| question.over_tcp));
}

#[tokio::test]
async fn a_name_without_address_and_a_server_that_is_silent_are_said() {
    let dns = Dns::answering(|_, _| Reply::default()).await;
    let relay = Relay::with_allowed(&dns.config(), &["http://nothing.example"]).await;
    assert_eq!(outcome(&relay, &relay.client(), "http://nothing.example/").await, "upstream-unresolved");
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = format!("limits.connect_seconds = 0.5\ndns.servers = ['{}']", silent.local_addr().unwrap());
    let relay = Relay::with_allowed(&config, &["http://nothing.example"]).await;
    let code = outcome(&relay, &relay.client(), "http://nothing.example/").await;
    assert!(["upstream-unresolved", "upstream-unreachable"].contains(&code.as_str()), "{code}");
}
