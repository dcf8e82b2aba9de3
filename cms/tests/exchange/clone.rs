//! One place for each host: reconnects and restarts take it over, a copy of the machine does not.

use doorward_cms::incident::Kind;
use tonic::Code;

use crate::support::TestServer;
use crate::support::until;

#[tokio::test]
async fn a_reconnect_takes_the_place_of_a_stream_that_seems_alive() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut old = agent.connect(&server).await;
    let new = agent.connect(&server).await;
    assert_eq!(old.end().await.code(), Code::Aborted);
    until("one session", || async { (server.sessions.connected() == 1).then_some(()) }).await;
    let host = server.cms.store.host(agent.id).await.unwrap().unwrap();
    assert!(host.connected, "the stream that was taken over does not say that the host left");
    drop(new);
}

#[tokio::test]
async fn a_restarted_agent_is_not_taken_for_a_copy() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut streams = Vec::new();
    for run in 1..6 {
        streams.push(agent.run(run).connect(&server).await);
    }
    assert_eq!(server.tally.clones(), 0);
}

#[tokio::test]
async fn a_copy_of_the_machine_is_refused_while_the_other_is_connected() {
    let server = TestServer::start().await;
    let (original, copy) = {
        let agent = server.enroll("web-1").await;
        (agent.run(1), agent.run(2))
    };
    let mut first = original.connect(&server).await;
    let second = copy.connect(&server).await;
    assert_eq!(first.end().await.code(), Code::Aborted);
    let status = original.connect_with(&server, original.hello()).await.err().unwrap();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("enroll one of them anew"), "{status}");
    assert_eq!((server.tally.clones(), server.sessions.connected()), (1, 1));
    assert_eq!(server.cms.open_incident(Kind::HostCloned).await.host_id, Some(original.id));
    drop(second);
    until("the place to be free", || async { original.connect_with(&server, original.hello()).await.ok() }).await;
}
