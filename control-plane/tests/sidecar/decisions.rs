//! What the filter asks about prose: decided once, and the same after a restart.

use headroom_api::v1::{DecideRequest, TextDecision, TextOutput};
use headroom_compress::address;
use tonic::Code;

use crate::child::Sidecar;

fn output(text: &str, is_new: bool) -> TextOutput {
    TextOutput { hash: address(text), text: is_new.then(|| text.to_owned()), unanswered: false }
}

fn asked(tenant: &str, outputs: Vec<TextOutput>) -> DecideRequest {
    let (tenant, request_id) = (tenant.to_owned(), "hr_1".to_owned());
    DecideRequest { tenant, request_id, wait_ms: 60_000, outputs }
}

async fn decide(sidecar: &Sidecar, outputs: Vec<TextOutput>) -> Vec<TextDecision> {
    let mut client = sidecar.text_model().await;
    let mut decisions = client.decide(asked("t", outputs)).await.unwrap().into_inner().decisions;
    decisions.sort_unstable_by(|one, other| one.hash.cmp(&other.hash));
    decisions
}

#[tokio::test]
async fn without_a_model_texts_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let told = decide(&sidecar, vec![output("new", true), output("old", false)]).await;
    let plain = |text: &str| TextDecision { hash: address(text), form: None };
    let mut expected = [plain("new"), plain("old")];
    expected.sort_unstable_by(|one, other| one.hash.cmp(&other.hash));
    assert_eq!(told, expected);
    let mut client = sidecar.text_model().await;
    let many = vec![output("x", false); 1_025];
    let mut named = asked("t", Vec::new());
    named.request_id = "x".repeat(65);
    for wrong in [
        asked("t", many),
        asked("t", vec![TextOutput::default()]),
        asked("t", vec![TextOutput { hash: "g".repeat(24), ..output("x", false) }]),
        asked("\n", Vec::new()),
        named,
    ] {
        assert_eq!(client.decide(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let huge = asked("t", vec![output(&"x".repeat(2 << 20), true)]);
    assert_eq!(client.decide(huge).await.unwrap_err().code(), Code::OutOfRange);
}

#[cfg(feature = "llmlingua")]
#[tokio::test]
async fn the_models_word_on_a_text_outlives_the_model() {
    use crate::text_model::{MODEL, prose, status};

    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &["--llmlingua", "--llmlingua-model", MODEL], &[]).await;
    status(&sidecar, "loaded").await;
    let told = decide(&sidecar, vec![output(&prose(), true)]).await;
    let form = told[0].form.clone().expect("a form");
    assert!(form.len() * 10 < prose().len() * 8, "{form}");
    assert!(form.ends_with(&format!("headroom_retrieve hash={}]", address(&prose()))), "{form}");
    drop(sidecar);
    let sidecar = Sidecar::start(dir.path()).await;
    assert_eq!(decide(&sidecar, vec![output(&prose(), false)]).await, told);
    assert_eq!(decide(&sidecar, vec![output(&prose(), true)]).await, told);
}
