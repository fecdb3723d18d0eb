//! What the text model leaves of prose in requests that pass the filter: decided once for each text of a tenant.
//!
//! A text that is asked about for the first time has a form if the model finishes within the filter's patience, and stays
//! as it is otherwise. Either is written, if nothing is yet, before it is answered: whoever asks later, on any replica,
//! gets what stands there. What the model says after its time was over is dropped. A text about which only its hash is
//! known was forwarded before anything was decided, and stays as it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use headroom_api::v1::{DecideRequest, DecideResponse, TextDecision as Told, TextOutput};
use headroom_compress::{Encoding, address};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::originals::store::{OriginalsStore, TextDecision};
use crate::text_model::{Shorten, ShortenedText, TextModel};
use crate::trouble::StoreError;

/// Nobody waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The model behind the decisions.
#[async_trait]
pub(crate) trait Model: Send + Sync {
    /// The model until a point in time, and how much of prose stays; `None` where there is none, or no turn.
    async fn turn(&self, until: Instant) -> Option<(Box<dyn Shorten>, f64)>;
}

#[async_trait]
impl Model for TextModel {
    async fn turn(&self, until: Instant) -> Option<(Box<dyn Shorten>, f64)> {
        let rate = self.rates().text?;
        match self.shortener(until).await {
            Ok(shortener) => Some((Box::new(shortener), rate)),
            Err(error) => {
                tracing::debug!(message = "The filter's texts stay as they are.", error);
                None
            }
        }
    }
}

/// Decides on texts.
pub(crate) struct Decisions {
    store: Arc<dyn OriginalsStore>,
    model: Arc<dyn Model>,
    clock: Clock,
}

impl Decisions {
    pub(crate) fn new(store: Arc<dyn OriginalsStore>, model: Arc<dyn Model>, clock: Clock) -> Self {
        Self { store, model, clock }
    }

    /// What stands for each output that the request asks about.
    pub(crate) async fn decide(&self, asked: DecideRequest) -> Result<DecideResponse, StoreError> {
        let DecideRequest { tenant, request_id, wait_ms, outputs } = asked;
        let wait = Duration::from_millis(wait_ms.into()).min(LONGEST_WAIT);
        // the rest is for writing it down, and for the way back
        let until = Instant::now() + wait / 5 * 4;
        let (unanswered, outputs): (Vec<_>, Vec<_>) = outputs.into_iter().partition(|it| it.unanswered);
        if !unanswered.is_empty() {
            let hashes: Vec<String> = unanswered.into_iter().map(|it| it.hash).collect();
            self.store.withdraw(&tenant, &request_id, &hashes, (self.clock)()).await?;
        }
        let hashes: Vec<String> = outputs.iter().map(|it| it.hash.clone()).collect();
        let mut decisions = self.store.decisions(&tenant, &hashes).await?;
        let mut open = outputs;
        open.retain(|output| decisions.iter().all(|known| known.hash != output.hash));
        if !open.is_empty() {
            let new = self.forms(open, until).await;
            decisions.extend(self.store.decide(&tenant, &request_id, &new, (self.clock)()).await?);
        }
        let told = decisions.into_iter().map(|TextDecision { hash, form }| Told { hash, form });
        Ok(DecideResponse { decisions: told.collect() })
    }

    /// The forms of those texts that the model gets done in time.
    async fn forms(&self, outputs: Vec<TextOutput>, until: Instant) -> Vec<TextDecision> {
        let plain = |output: &TextOutput| TextDecision { hash: output.hash.clone(), form: None };
        let mut decisions: Vec<TextDecision> = outputs.iter().map(plain).collect();
        // a text under another's hash would stand for that one in every later request
        let texts = outputs.into_iter().map(|output| output.text.filter(|text| address(text) == output.hash));
        let texts: Vec<(usize, String)> =
            texts.enumerate().filter_map(|(place, text)| Some((place, text?))).collect();
        if texts.is_empty() {
            return decisions;
        }
        let Some((shortener, rate)) = self.model.turn(until).await else { return decisions };
        let (done, mut forms) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            for (place, text) in texts {
                // where nobody waits any more, the others need not be read
                if done.is_closed() || done.blocking_send((place, form(&*shortener, &text, rate))).is_err() {
                    return;
                }
            }
        });
        while let Ok(Some((place, form))) = tokio::time::timeout_at(until.into(), forms.recv()).await {
            if let Some(decision) = decisions.get_mut(place) {
                decision.form = form;
            }
        }
        decisions
    }
}

/// What stands for a text; `None`: the text itself.
fn form(shortener: &dyn Shorten, text: &str, rate: f64) -> Option<String> {
    let shortened = ShortenedText::of(shortener, text, rate, Encoding::O200kBase.count(text))?;
    Some(shortened.text)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::purge::Scope;
    use crate::store::{Database, SqlOriginals};

    /// Keeps the first words of a text. A text that begins with "wait" takes until nobody holds the gate.
    #[derive(Clone)]
    struct Words {
        keeps: usize,
        runs: Arc<AtomicUsize>,
        gate: Arc<Mutex<Receiver<()>>>,
    }

    impl Words {
        fn keeping(keeps: usize) -> Self {
            Self::gated(keeps).0
        }

        fn gated(keeps: usize) -> (Self, Sender<()>) {
            let (held, gate) = channel();
            (Self { keeps, runs: Arc::default(), gate: Arc::new(Mutex::new(gate)) }, held)
        }

        fn runs(&self) -> usize {
            self.runs.load(Ordering::SeqCst)
        }
    }

    impl Shorten for Words {
        fn shorten(&self, text: &str, _: f64) -> Option<String> {
            if text.starts_with("wait") {
                self.gate.lock().unwrap().recv().unwrap_err();
            }
            self.runs.fetch_add(1, Ordering::SeqCst);
            let words: Vec<&str> = text.split(' ').take(self.keeps).collect();
            (!text.starts_with("fail")).then(|| words.join(" "))
        }
    }

    #[async_trait]
    impl Model for Words {
        async fn turn(&self, _: Instant) -> Option<(Box<dyn Shorten>, f64)> {
            (self.keeps > 0).then(|| (Box::new(self.clone()) as Box<dyn Shorten>, 0.3))
        }
    }

    async fn store() -> (tempfile::TempDir, Arc<SqlOriginals>) {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlOriginals::open(&Database::File(dir.path().join("db")), 0).await.unwrap();
        (dir, Arc::new(store))
    }

    fn decisions(store: &Arc<SqlOriginals>, model: &Words) -> Decisions {
        Decisions::new(Arc::clone(store) as _, Arc::new(model.clone()), Arc::new(|| 1_000))
    }

    fn text(begin: &str) -> String {
        format!("{begin} {}", "one word after another and none of them new to anybody ".repeat(20))
    }

    fn new(text: &str) -> TextOutput {
        TextOutput { hash: address(text), text: Some(text.to_owned()), unanswered: false }
    }

    fn old(text: &str) -> TextOutput {
        TextOutput { text: None, ..new(text) }
    }

    fn unanswered(text: &str) -> TextOutput {
        TextOutput { unanswered: true, ..old(text) }
    }

    async fn ask(decisions: &Decisions, request_id: &str, outputs: Vec<TextOutput>) -> Vec<Option<String>> {
        let hashes: Vec<String> = outputs.iter().map(|it| it.hash.clone()).collect();
        let (tenant, request_id) = ("t".to_owned(), request_id.to_owned());
        let asked = DecideRequest { tenant, request_id, wait_ms: 60_000, outputs };
        let told = decisions.decide(asked).await.unwrap().decisions;
        let of = |hash| told.iter().find(|it| it.hash == hash).and_then(|it| it.form.clone());
        hashes.into_iter().map(of).collect()
    }

    #[tokio::test]
    async fn the_first_word_on_a_text_stands_whoever_asks_later() {
        let (_dir, store) = store().await;
        let (a, b) = (text("a"), text("b"));
        let short = Words::keeping(9);
        let first = decisions(&store, &short);
        let told = ask(&first, "1", vec![new(&a), old(&b)]).await;
        let form = told[0].clone().unwrap();
        assert!(
            form.starts_with("a one word") && form.ends_with(&format!("hash={}]", address(&a))),
            "{form}"
        );
        assert_eq!(told[1], None, "what was forwarded before anything was decided stays as it is");
        // another replica, whose model would say something else
        let other = Words::keeping(3);
        let second = decisions(&store, &other);
        assert_eq!(
            ask(&second, "2", vec![new(&a), new(&b), old(&a)]).await,
            [Some(form.clone()), None, Some(form)]
        );
        assert_eq!((short.runs(), other.runs()), (1, 0));
        // no tenant has another's
        assert!(store.decisions("u", &[address(&a)]).await.unwrap().is_empty());
        let purged = store.purge(&Scope::Tenant("u".to_owned()), false).await.unwrap();
        assert_eq!((purged.originals, store.decisions("t", &[address(&a)]).await.unwrap().len()), (0, 1));
        store.purge(&Scope::Tenant("t".to_owned()), true).await.unwrap();
        assert_eq!(store.decisions("t", &[address(&a)]).await.unwrap().len(), 1, "a dry run deletes nothing");
        store.purge(&Scope::Tenant("t".to_owned()), false).await.unwrap();
        assert!(store.decisions("t", &[address(&a), address(&b)]).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn of_two_who_decide_at_once_both_tell_the_same() {
        let (_dir, store) = store().await;
        for round in 0..20 {
            let texts: Vec<String> = (0..4).map(|n| text(&format!("{round} {n}"))).collect();
            let (nine, three) = (Words::keeping(9), Words::keeping(3));
            let (one, other) = (decisions(&store, &nine), decisions(&store, &three));
            let forward = texts.iter().map(|text| new(text)).collect();
            let backward = texts.iter().rev().map(|text| new(text)).collect();
            let (told, mut again) = tokio::join!(ask(&one, "1", forward), ask(&other, "2", backward));
            again.reverse();
            assert_eq!(told, again);
            assert!(told.iter().all(Option::is_some));
        }
    }

    #[tokio::test]
    async fn a_model_that_is_late_changes_nothing_any_more() {
        let (_dir, store) = store().await;
        let (model, held) = Words::gated(5);
        let decisions = decisions(&store, &model);
        let (quick, slow, behind) = (text("quick"), text("wait"), text("behind"));
        let outputs = vec![new(&quick), new(&slow), new(&behind)];
        let asked =
            DecideRequest { tenant: "t".to_owned(), wait_ms: 3_000, outputs, ..DecideRequest::default() };
        let told = decisions.decide(asked).await.unwrap();
        let form = |hash: String| told.decisions.iter().find(|it| it.hash == hash).unwrap().form.clone();
        assert!(form(address(&quick)).is_some(), "what was done in time has its form");
        assert_eq!((form(address(&slow)), form(address(&behind))), (None, None));
        drop(held);
        let deadline = Instant::now() + Duration::from_secs(30);
        while model.runs() < 2 {
            assert!(Instant::now() < deadline, "the late run ends");
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&decisions, "2", vec![new(&slow), old(&behind)]).await, [None, None]);
        assert_eq!(model.runs(), 2, "nobody asks the model again");
    }

    #[tokio::test]
    async fn who_was_told_nothing_lets_only_its_own_decision_go() {
        let (_dir, store) = store().await;
        let decisions = decisions(&store, &Words::keeping(9));
        let (own, others, unknown) = (text("own"), text("others"), text("unknown"));
        ask(&decisions, "1", vec![new(&own)]).await;
        let kept = ask(&decisions, "2", vec![new(&others)]).await;
        let told =
            ask(&decisions, "1", vec![unanswered(&own), unanswered(&others), unanswered(&unknown)]).await;
        assert_eq!(told, [None, None, None], "they are not asked about");
        let stands = ask(&decisions, "3", vec![new(&own), new(&others), new(&unknown)]).await;
        assert_eq!(stands, [None, kept[0].clone(), None]);
    }

    #[tokio::test]
    async fn what_cannot_be_shortened_stays_as_it_is() {
        let (_dir, store) = store().await;
        let fails = text("fail");
        let short = "too short for its marker".to_owned();
        let forged = TextOutput { hash: address("another text"), ..new(&text("forged")) };
        let model = Words::keeping(9);
        let told = ask(&decisions(&store, &model), "1", vec![new(&fails), new(&short), forged]).await;
        assert_eq!((told, model.runs()), (vec![None, None, None], 2));
        let none = decisions(&store, &Words::keeping(0));
        assert_eq!(ask(&none, "1", vec![new(&text("a"))]).await, [None], "there is no model");
        assert_eq!(ask(&decisions(&store, &model), "2", vec![new(&text("a"))]).await, [None], "for good");
        store.close().await;
        let asked = DecideRequest { outputs: vec![new(&fails)], ..DecideRequest::default() };
        assert!(none.decide(asked).await.is_err(), "what is not written is not told");
    }

    #[tokio::test]
    async fn decisions_are_forgotten_when_they_are_old_or_too_many() {
        let (_dir, store) = store().await;
        for at in 0..10 {
            let decision = TextDecision { hash: format!("{at:024}"), form: None };
            store.decide("t", "1", &[decision], at).await.unwrap();
        }
        let left = async || {
            let all: Vec<String> = (0..10).map(|at| format!("{at:024}")).collect();
            store.decisions("t", &all).await.unwrap().len()
        };
        assert_eq!((store.forget_decisions(3, 100).await.unwrap(), left().await), (3, 7));
        assert_eq!((store.forget_decisions(3, 7).await.unwrap(), left().await), (0, 7));
        assert_eq!((store.forget_decisions(0, 2).await.unwrap(), left().await), (5, 2));
    }
}
