//! The program, as its configuration and keys change.

use xllm_proxy::{
    client::{Client, Fault},
    proto::Credential,
};

use super::support::{
    child::Stand,
    request::{Bystander, assert_clean, assert_error, get, whole},
    within,
};

async fn works(client: &Client, stand: &Stand) {
    whole(client, get(&stand.url("/raw/binary"))).await.unwrap();
}

async fn refused(client: &Client, stand: &Stand) -> xllm_proxy::client::Error {
    whole(client, get(&stand.url("/raw/binary"))).await.unwrap_err()
}

fn of(stand: &Stand, credential: &Credential) -> Client {
    Client::builder(&stand.server.address.to_string(), credential.clone()).unwrap().build()
}

#[tokio::test]
async fn a_changed_configuration_is_in_force_after_a_hangup_and_a_faulty_one_is_not() {
    let stand = Stand::start().await;
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    stand.server.configure("[client.laptop]\nrequests_per_minute = 1\n");
    stand.server.hang_up();
    stand.server.logged(&["reloaded: configuration and keys are in force"]).await;
    works(&client, &stand).await;
    assert_error(&refused(&client, &stand).await, "rate-limited", Fault::Client, true);

    stand.server.configure("[client.laptop]\nrequests_per_minit = 'secret'\n");
    stand.server.hang_up();
    let line = stand.server.logged(&["not reloaded: nothing has changed", "line 2, column 1"]).await;
    assert_clean(&line);
    assert_error(&refused(&client, &stand).await, "rate-limited", Fault::Client, true);

    stand.server.configure("listen = '127.0.0.1:1'\nworkers = 7\n");
    stand.server.hang_up();
    stand.server.logged(&["reloaded", "takes effect at the next start: workers"]).await;
    works(&client, &stand).await;
    bystander.finish(&stand.mock).await;
}

#[tokio::test]
async fn clients_come_change_and_go_while_the_server_runs() {
    let stand = Stand::start().await;
    let laptop = stand.client();
    let bystander = Bystander::start(&laptop, &stand.mock, "bystander").await;

    let phone = stand.server.client_command(&["add", "phone"]).await;
    works(&of(&stand, &phone), &stand).await;

    let renewed = stand.server.client_command(&["rotate", "phone"]).await;
    works(&of(&stand, &renewed), &stand).await;
    works(&of(&stand, &phone), &stand).await;
    stand.server.command(&["client", "revoke", "--old", "phone"]).await;
    let gone = async { while whole(&of(&stand, &phone), get(&stand.url("/raw/binary"))).await.is_ok() {} };
    within("the end of the old key", gone).await;
    works(&of(&stand, &renewed), &stand).await;

    stand.server.command(&["server-key", "rotate"]).await;
    works(&of(&stand, &renewed), &stand).await;
    let third = stand.server.client_command(&["rotate", "phone"]).await;
    assert_ne!(third.server, renewed.server);
    let taken = async { while whole(&of(&stand, &third), get(&stand.url("/raw/binary"))).await.is_err() {} };
    within("the server's new key", taken).await;
    works(&of(&stand, &renewed), &stand).await;
    stand.server.command(&["server-key", "rotate", "--keep", "0s"]).await;
    let gone = async { while whole(&of(&stand, &third), get(&stand.url("/raw/binary"))).await.is_ok() {} };
    within("the end of the server's key", gone).await;

    let list = stand.server.command(&["client", "list"]).await;
    assert!(list.contains("laptop  current") && list.contains("phone   replaced, taken until 2"), "{list}");
    bystander.finish(&stand.mock).await;
    assert_clean(&stand.server.log());
}

#[tokio::test]
async fn a_connection_that_was_opened_under_a_looser_rule_serves_nobody_under_a_stricter_one() {
    let stand = Stand::start().await;
    let client = stand.client();
    let port = stand.mock.addr().port();
    let url = format!("http://localhost:{port}/raw/binary");
    let rule = |private| format!("[[origin]]\nat = 'http://localhost:{port}'\nprivate = {private}\n");
    let reload = async |config: &str| {
        let before = stand.server.log().matches("reloaded: ").count();
        stand.server.configure(config);
        stand.server.hang_up();
        within("the reload", async {
            while stand.server.log().matches("reloaded: ").count() == before {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    reload(&rule(true)).await;
    whole(&client, get(&url)).await.unwrap();
    // That one's connection is open still, and would lead where the name may not any more.
    reload(&rule(false)).await;
    let error = whole(&client, get(&url)).await.unwrap_err();
    assert_error(&error, "address-not-allowed", Fault::Proxy, true);
    reload(&rule(true)).await;
    whole(&client, get(&url)).await.unwrap();
}
