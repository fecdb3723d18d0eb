//! A sidecar that is down, wrong, late, killed or out of disk harms no request and changes no form: the request
//! contains what is left out, and the store gets copies when it can.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use bytes::Bytes;
use headroom_compress::Api;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::Envoy;
use headroom_e2e::provider::NAME_HEADER;
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::{Stack, deadline::until};

use crate::reversible::{ROWS, body, engine, large_bodies, markers, reversible, rows};
use crate::stacks::{Mode, assert_no_trap, forwarded};
use crate::thinking::Thinking;

/// With this sidecar every request is forwarded as with any other.
async fn changes_nothing(kind: Kind) -> Result<()> {
    let stack = Stack::start(reversible(Mode::Strip), kind).await?;
    for number in 0..8 {
        let name = format!("request {number}");
        let body = body(Api::AnthropicMessages, false, &[rows(ROWS, number)]);
        let call = Call::post("/v1/messages", body.clone());
        let (answer, _) = stack.exchange(&name, Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200, "{name}");
        let arrived = forwarded(&stack.provider, &name).body;
        assert_eq!(arrived, engine(Api::AnthropicMessages, &body).0, "{name}");
        assert_eq!(markers(&arrived).len(), 1, "{name}");
    }
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn without_a_sidecar_forms_are_the_same() -> Result<()> {
    changes_nothing(Kind::Down).await
}

#[tokio::test]
async fn with_a_sidecar_that_never_answers_forms_are_the_same() -> Result<()> {
    changes_nothing(Kind::Silent).await
}

#[tokio::test]
async fn with_a_sidecar_of_another_protocol_forms_are_the_same() -> Result<()> {
    changes_nothing(Kind::Noise).await
}

#[tokio::test]
async fn with_a_sidecar_that_answers_garbage_forms_are_the_same() -> Result<()> {
    changes_nothing(Kind::Garbage).await
}

#[tokio::test]
async fn with_a_sidecar_that_stores_nothing_forms_are_the_same() -> Result<()> {
    changes_nothing(Kind::Forgetful).await
}

/// The name of all requests of a [`Load`].
const LOAD: &str = "load";

/// Clients with growing conversations, each output new, so that stored and new originals are mixed. Between these
/// requests they hold conversations with thinking models.
struct Load {
    envoy: SocketAddr,
    thinking: Thinking,
    sent: AtomicUsize,
    failed: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    fn on(stack: &Stack) -> Self {
        let (sent, failed, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let thinking = Thinking::with(&stack.provider);
        Self { envoy: stack.envoy.listener(), thinking, sent, failed, over }
    }

    async fn client(&self, client: usize) -> Result<()> {
        let mut outputs = Vec::new();
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            self.thinking.turn_beside(number, self.envoy).await?;
            if outputs.len() == 4 {
                outputs.clear();
            }
            outputs.push(rows(ROWS + number % 50, client * 1_000_000 + number));
            let body = body(Api::AnthropicMessages, false, &outputs);
            let mut connection = Connection::open(self.envoy, Protocol::Http1).await?;
            let call = Call::post("/v1/messages", body).header(NAME_HEADER, LOAD);
            self.sent.fetch_add(1, Ordering::Relaxed);
            match connection.send(call).await {
                Ok(answer) if answer.status == 200 => {}
                _ => _ = self.failed.fetch_add(1, Ordering::Relaxed),
            }
        }
        Ok(())
    }

    /// Waits until this many more requests are sent, some of them to thinking models.
    async fn more(&self, requests: usize) -> Result<()> {
        let (target, turns) = (self.sent.load(Ordering::Relaxed) + requests, self.thinking.turns());
        until("requests are sent", || async {
            (self.sent.load(Ordering::Relaxed) >= target && self.thinking.turns() > turns).then_some(())
        })
        .await
    }
}

/// Sends requests from several clients while `faults` happen, and looks up every forwarded marker.
async fn under_load(
    what: &str,
    faults: impl AsyncFnOnce(&mut Sidecar, &Load, &Envoy) -> Result<()>,
) -> Result<()> {
    let mut stack = Stack::start(large_bodies(Mode::Strip), Kind::Real).await?;
    let load = Load::on(&stack);
    let faults = async {
        let done = faults(&mut stack.sidecar, &load, &stack.envoy).await;
        load.over.store(true, Ordering::Relaxed);
        done
    };
    let (done, a, b, c, d) =
        tokio::join!(faults, load.client(0), load.client(1), load.client(2), load.client(3));
    done.and(a).and(b).and(c).and(d)?;
    let thought = load.thinking.end(load.envoy).await?;

    let arrived = stack.provider.take(LOAD);
    let mut hashes: Vec<String> = arrived.iter().flat_map(|request| markers(&request.body)).collect();
    let markers = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    let forms: HashSet<Bytes> = arrived.iter().map(|request| request.body.clone()).collect();
    let (mut stored, dropped) = (0, stack.envoy.stat("wasmcustom.headroom.originals_dropped").await?);
    for hash in &hashes {
        stored += u64::from(stack.sidecar.retrieve("", hash, "").await?.is_some());
    }
    let (sent, failed) = (load.sent.into_inner(), load.failed.into_inner());
    let report = format!(
        "{what}: {sent} requests sent, {failed} failed; {markers} markers ({} originals), {stored} copies stored, \
         {dropped} dropped; {}",
        hashes.len(),
        thought.line()
    );
    headroom_e2e::say(&report);
    assert_eq!((failed, arrived.len()), (0, sent), "{report}");
    // Each request leaves something out of every output, in every state of the sidecar.
    for body in forms {
        let outputs = String::from_utf8_lossy(&body).matches("\"tool_result\"").count();
        assert_eq!(self::markers(&body).len(), outputs, "{report}");
    }
    assert!(stored > 0, "{report}");
    assert_no_trap(&stack).await
}

/// Waits until copies are stored again.
async fn stores_again(envoy: &Envoy) -> Result<()> {
    let stored = || envoy.stat("wasmcustom.headroom.originals_copied");
    let before = stored().await?;
    until("copies are stored again", || async { (stored().await.ok()? > before + 5).then_some(()) }).await
}

#[tokio::test]
async fn no_request_fails_and_no_form_changes_while_the_sidecar_is_killed_again_and_again() -> Result<()> {
    under_load("5 kills", async |sidecar, load, _| {
        for kill in 1..=5 {
            load.more(60).await?;
            sidecar.kill()?;
            load.more(if kill % 2 == 0 { 60 } else { 10 }).await?;
            sidecar.run().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_request_fails_and_no_form_changes_while_the_sidecar_stops_and_answers_late() -> Result<()> {
    under_load("5 stops", async |sidecar, load, envoy| {
        for stop in 1..=5 {
            load.more(40).await?;
            sidecar.suspend()?;
            let requests = load.more(if stop % 2 == 0 { 40 } else { 8 }).await;
            sidecar.resume()?;
            requests?;
            stores_again(envoy).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_request_fails_and_no_form_changes_while_the_disk_is_full() -> Result<()> {
    under_load("a full disk, twice", async |sidecar, load, envoy| {
        for _ in 0..2 {
            load.more(40).await?;
            sidecar.fill_disk()?;
            load.more(60).await?;
            sidecar.empty_disk()?;
            stores_again(envoy).await?;
        }
        Ok(())
    })
    .await
}
