//! How the model behaves in a whole conversation: its answer depends on a request, and on its earlier calls without a
//! result.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Api, Part};
use super::binding::name_of;
use super::script::ToolCall;
use super::transcript::{RETRIEVE, Transcript, is_memory};

/// A model that calls the client's tools for some rounds, and is then done.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// How many rounds of calls of the client's tools it needs.
    pub rounds: usize,
    /// Its calls, one after the other, and then from the first again.
    pub calls: Vec<ToolCall>,
    /// In each round whose number is divisible by this it makes two calls at once; 0: never.
    pub parallel_every: usize,
    /// After this many rounds it ends its turn with a text, and the user has to ask again; 0: never.
    pub text_every: usize,
    /// Before each round whose number is divisible by this it calls `headroom_retrieve`, if an output has a marker; 0:
    /// never.
    pub retrieve_every: usize,
    /// The ways of these calls, one after the other, and then from the first again.
    pub ways: Vec<Way>,
    /// In each round whose number is divisible by this and without a retrieval, it uses memory, if the filter has added
    /// its tools. In turn it searches first, saves together with calls of the client's tools, and saves twice first; 0:
    /// never.
    pub remember_every: usize,
    /// Cut streams into pieces of this many bytes, through the middle of events and characters.
    pub piece_bytes: Option<usize>,
    /// Its last text.
    pub last: String,
}

/// How the model calls `headroom_retrieve`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Only the call.
    Alone,
    /// After a text.
    AfterText,
    /// For some lines, rows or characters only.
    Range,
    /// Two calls at once.
    Twice,
    /// Another call after it has the text.
    TwoRounds,
    /// In one answer with calls of the client's tools, before them.
    BeforeClients,
    /// In one answer with calls of the client's tools, after them.
    AfterClients,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Alone,
        Self::AfterText,
        Self::Range,
        Self::Twice,
        Self::TwoRounds,
        Self::BeforeClients,
        Self::AfterClients,
    ];
}

/// The range that [`Way::Range`] asks for.
pub(super) const RANGE: &str = "2-4";

impl Default for Plan {
    fn default() -> Self {
        Self {
            rounds: 12,
            calls: vec![ToolCall { name: "list".to_owned(), arguments: json!({}) }],
            parallel_every: 3,
            text_every: 0,
            retrieve_every: 0,
            ways: vec![Way::Alone],
            remember_every: 0,
            piece_bytes: None,
            last: "That is all. ✓".to_owned(),
        }
    }
}

impl Plan {
    /// The model's answer to a request, without seals. `thinks`: it shows its thinking. `again`: the calls of our tool
    /// that it has to repeat; they are removed when it does.
    pub(super) fn parts(
        &self,
        api: Api,
        transcript: &Transcript,
        thinks: bool,
        again: &mut Vec<Value>,
    ) -> Vec<Part> {
        let round = transcript.rounds();
        let since_asked = transcript.rounds_since_asked();
        let is_over = round >= self.rounds
            || transcript.forbids_calls
            || transcript.tools.is_empty()
            || (self.text_every > 0 && since_asked >= self.text_every);
        let can_retrieve = transcript.tools.iter().any(|name| name == RETRIEVE) && !transcript.forbids_calls;
        let retrieves = if can_retrieve && !again.is_empty() {
            Retrieves::again(std::mem::take(again))
        } else if can_retrieve {
            self.retrieves(transcript, round, is_over)
        } else {
            Retrieves::default()
        };
        let retrieves =
            if retrieves.is_none() { self.remembers(transcript, round, is_over) } else { retrieves };
        let makes_clients_calls = !is_over && !retrieves.is_alone;

        let mut parts = Vec::new();
        let thought = |number: usize| format!("Round {round}, thought {number}: hm, was nun? ✓");
        if thinks && round % 5 == 4 {
            parts.push(Part::Redacted { seal: String::new() });
        } else if thinks {
            parts.push(Part::Thinking { text: thought(1), seal: String::new() });
        }
        if retrieves.has_text || (makes_clients_calls && round.is_multiple_of(2)) {
            parts.push(Part::Text(format!("Ich sehe nach, Runde {round}.")));
            if thinks && round % 3 == 1 {
                parts.push(Part::Thinking { text: thought(2), seal: String::new() });
            }
        }
        let mut calls = retrieves.before;
        if makes_clients_calls {
            let at_once = if self.parallel_every > 0 && round % self.parallel_every == 1 { 2 } else { 1 };
            let next = self.calls.iter().cycle().skip(round).take(at_once);
            calls.extend(next.map(|call| (call.name.clone(), call.arguments.clone())));
        }
        calls.extend(retrieves.after);
        if calls.is_empty() {
            parts.push(Part::Text(if round >= self.rounds {
                self.last.clone()
            } else {
                "So far.".to_owned()
            }));
        }
        let seed = format!("{:?}", transcript.steps);
        parts.extend(calls.into_iter().enumerate().map(|(at, (name, arguments))| {
            let id = id(api, &seed, at);
            Part::Call { id, name, arguments, seal: None }
        }));
        parts
    }

    fn remembers(&self, transcript: &Transcript, round: usize, is_over: bool) -> Retrieves {
        let can_remember = transcript.tools.iter().any(|name| is_memory(name)) && !transcript.forbids_calls;
        let is_due = self.remember_every > 0 && round.is_multiple_of(self.remember_every);
        if !can_remember || !is_due || transcript.own_rounds() > 0 {
            return Retrieves::default();
        }
        let save = |what: &str| {
            let content = format!("In round {round} the model found out {what}.");
            ("memory_save".to_owned(), json!({"content": content, "importance": 0.7}))
        };
        let search = || ("memory_search".to_owned(), json!({"query": "what the model found out"}));
        match round / self.remember_every % 3 {
            1 if !is_over => Retrieves { before: vec![save("something")], ..Retrieves::default() },
            2 => {
                Retrieves { before: vec![save("this"), save("that")], is_alone: true, ..Retrieves::default() }
            }
            _ => Retrieves { before: vec![search()], is_alone: true, has_text: true, ..Retrieves::default() },
        }
    }

    fn retrieves(&self, transcript: &Transcript, round: usize, is_over: bool) -> Retrieves {
        let mut retrieves = Retrieves::default();
        let is_due = self.retrieve_every > 0 && round > 0 && round.is_multiple_of(self.retrieve_every);
        if !is_due || self.ways.is_empty() {
            return retrieves;
        }
        let times = round / self.retrieve_every;
        let mut way = self.ways[(times - 1) % self.ways.len()];
        if is_over && matches!(way, Way::BeforeClients | Way::AfterClients) {
            way = Way::Alone;
        }
        let markers = transcript.markers();
        let done = transcript.own_rounds();
        // The newest and an old one, in turn.
        let at = |back: usize| markers.iter().rev().nth(back % markers.len().max(1));
        let wanted: Vec<&String> = match way {
            Way::Twice => at(0).into_iter().chain(at(1).filter(|_| markers.len() > 1)).collect(),
            Way::TwoRounds => at(done).into_iter().collect(),
            _ => at(times * 3).into_iter().collect(),
        };
        let rounds = if way == Way::TwoRounds { 2 } else { 1 };
        let is_beside = matches!(way, Way::BeforeClients | Way::AfterClients);
        if wanted.is_empty() || done >= rounds {
            return retrieves;
        }
        let arguments = |hash: &String| match way {
            Way::Range => json!({"hash": hash, "lines": RANGE}),
            _ => json!({"hash": hash}),
        };
        let calls = wanted.into_iter().map(|hash| (RETRIEVE.to_owned(), arguments(hash)));
        let place = if way == Way::AfterClients { &mut retrieves.after } else { &mut retrieves.before };
        place.extend(calls);
        retrieves.is_alone = !is_beside;
        retrieves.has_text = way == Way::AfterText;
        retrieves
    }
}

/// The model's calls of our tools.
#[derive(Default)]
struct Retrieves {
    before: Vec<(String, Value)>,
    after: Vec<(String, Value)>,
    /// Whether there is no call of the client's tools with it.
    is_alone: bool,
    has_text: bool,
}

impl Retrieves {
    fn is_none(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// A repeated call, alone.
    fn again(arguments: Vec<Value>) -> Self {
        let before = arguments.into_iter().map(|arguments| (RETRIEVE.to_owned(), arguments)).collect();
        Self { before, is_alone: true, ..Self::default() }
    }
}

/// An id as long as the provider's own.
fn id(api: Api, seed: &str, at: usize) -> String {
    let name = name_of(&format!("{at} {seed}"));
    match api {
        Api::Anthropic => format!("toolu_01{}", &name[..22]),
        _ => format!("call_{}", &name[..24]),
    }
}
