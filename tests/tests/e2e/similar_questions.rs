//! Answers to similar questions, with a real embedding model in headroomd: what is the same in other words gets one, and what asks for
//! something else never does.

use anyhow::Result;
use headroom_e2e::deadline::until;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, embedder, say, skip};
use serde_json::{Value, json};

use crate::answer_cache::{keeps, question, send, with_cache};
use crate::stacks::Mode;

/// The same question. Whether a model finds two of them similar enough is up to the model.
const PARAPHRASES: [(&str, &str); 16] = [
    ("How do I reset my password?", "How can I reset my password"),
    ("How do I reset my password?", "What is the way to reset my password?"),
    ("How do I reset my password?", "how to reset my password"),
    ("How do I reset my password?", "Could you tell me how I can reset my password?"),
    ("What is the refund policy?", "what is your refund policy"),
    ("What are the opening hours on Sunday?", "What are your opening hours on Sunday"),
    ("Where can I download my invoice?", "Where do I download my invoice?"),
    ("How do I cancel my subscription?", "How can I cancel my subscription please?"),
    ("How do I export my data?", "Can you tell me how to export my data?"),
    ("What is the difference between TCP and UDP?", "What's the difference between TCP and UDP?"),
    ("What is the difference between TCP and UDP?", "Explain the difference between TCP and UDP."),
    ("How do I install Envoy 1.40 on Debian 12?", "how to install Envoy 1.40 on Debian 12"),
    ("How do I log in to the portal?", "How can I log into the portal?"),
    ("What is the capital of France?", "what's the capital of france"),
    ("What does src/main.rs do?", "Tell me what `src/main.rs` does"),
    ("Why isn't the cache used?", "Why is not the cache used?"),
];

/// So many of them are found, at least.
const FOUND: usize = 12;

/// Other questions: another number, name, path, word or order, or a negation more.
const OTHERS: [(&str, &str); 40] = [
    ("What is 1+1?", "What is 1+2?"),
    ("What is 17 times 3?", "What is 18 times 3?"),
    ("What is 5!?", "What is 5?"),
    ("Is the API stable in version 2.1?", "Is the API stable in version 2.2?"),
    ("How do I install Envoy 1.40 on Debian 12?", "How do I install Envoy 1.41 on Debian 12?"),
    ("What happened in the year 1990 in Germany?", "What happened in the year 1991 in Germany?"),
    (
        "How many days of vacation do I have after two years?",
        "How many days of vacation do I have after three years?",
    ),
    ("Who is Alice Miller?", "Who is Alice Muller?"),
    ("What is the capital of France?", "What is the capital of Spain?"),
    ("what is the capital of france", "what is the capital of spain"),
    ("How do I deploy to the cluster eu-west-1?", "How do I deploy to the cluster eu-west-2?"),
    ("Is PostgreSQL faster than MySQL?", "Is PostgreSQL faster than MariaDB?"),
    ("May I take IT equipment abroad?", "May I take it equipment abroad?"),
    ("What does src/a.rs do?", "What does src/b.rs do?"),
    ("What is in /etc/hosts?", "What is in /etc/host?"),
    ("What does config.prod.yaml set?", "What does config.dev.yaml set?"),
    ("Should I use tabs?", "Should I not use tabs?"),
    ("What is included in the price?", "What is not included in the price?"),
    ("How do I run it with the cache?", "How do I run it without the cache?"),
    ("Which countries can I travel to with a visa?", "Which countries can I travel to without a visa?"),
    ("Is it free?", "Isn't it free?"),
    ("Why can I log in?", "Why can't I log in?"),
    ("Is a = b?", "Is a != b?"),
    ("Is pnpm better than npm?", "Is npm better than pnpm?"),
    ("Does the dog bite the man?", "Does the man bite the dog?"),
    ("How do I migrate from MySQL to Postgres?", "How do I migrate to MySQL from Postgres?"),
    ("Are there flights from Paris to London?", "Are there flights to Paris from London?"),
    ("Can I copy from a/ to b/?", "Can I copy from b/ to a/?"),
    ("What is the exchange rate from euros to dollars?", "What is the exchange rate from dollars to euros?"),
    ("Do I need tabs and spaces?", "Do I need tabs or spaces?"),
    ("How do I enable logging?", "How do I disable logging?"),
    ("How do I turn the alarm on?", "How do I turn the alarm off?"),
    ("What is the minimum age for the account?", "What is the maximum age for the account?"),
    ("Can I cancel my subscription?", "Can I cancel my annual subscription?"),
    ("How do I delete my account?", "How do I delete my account data?"),
    ("What was the price of the plan?", "What is the price of the plan?"),
    ("Must I pay the fee?", "May I pay the fee?"),
    ("What should I do before the update?", "What should I do after the update?"),
    ("What is our refund policy for my customers?", "What is my refund policy for our customers?"),
    ("Is the file in the folder of the user?", "Is the file on the folder of the user?"),
];

/// What is true in each of these contradicts the other; they are those of headroomd's own tests of memory.
fn contradictions() -> Result<Vec<(String, String)>> {
    let file = include_str!("../../../control-plane/tests/store/memory_eval.json");
    let eval: Value = serde_json::from_str(file)?;
    Ok(serde_json::from_value(eval["contradictions"].clone())?)
}

#[tokio::test]
async fn the_same_question_gets_the_answer_and_another_one_never_does() -> Result<()> {
    let Some(model) = skip::unless("embedding model", embedder::folder())? else { return Ok(()) };
    let cache = json!({"mode": "semantic", "timeout_ms": 10_000});
    let mut options = with_cache(Mode::Hold, &cache);
    options.filter.as_mut().expect("the filter is on")["control_plane"]["timeout_ms"] = 60_000.into();
    let mut stack = Stack::start(options, Kind::Real).await?;
    stack.sidecar.kill()?;
    stack.sidecar.set("HEADROOM_MEMORY_MODEL_DIR", &model.display().to_string());
    stack.sidecar.run().await?;
    until("the model is loaded", || async {
        let health = stack.sidecar.json("/readyz").await.ok()?;
        let name = health["checks"]["memory"]["embedder"].as_str()?.to_owned();
        name.starts_with("transformer:").then_some(())
    })
    .await?;

    let owned = |(one, other): &(&str, &str)| ((*one).to_owned(), (*other).to_owned());
    let paraphrases: Vec<_> = PARAPHRASES.iter().map(owned).collect();
    let others: Vec<_> = OTHERS.iter().map(owned).chain(contradictions()?).collect();
    let mut kept = 0;
    let (mut found, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    for (number, (one, other)) in paraphrases.iter().chain(&others).enumerate() {
        // Each pair has a system prompt of its own, and so meets no other's questions.
        let system = format!("pair {number}");
        assert_eq!(ask(&stack, &system, one).await?, None, "{one}");
        kept += 1;
        keeps(&stack, kept).await?;
        let is_same = number < paraphrases.len();
        match ask(&stack, &system, other).await?.as_deref() {
            Some("semantic") if is_same => found += 1,
            None => {
                kept += 1;
                keeps(&stack, kept).await?;
                missed.extend(is_same.then_some((one, other)));
            }
            cached => wrong.push((cached.map(str::to_owned), one, other)),
        }
    }
    assert!(wrong.is_empty(), "answered with another question's answer: {wrong:#?}");
    let (same, other) = (paraphrases.len(), others.len());
    say(&format!("{found} of {same} paraphrases found, of {other} others none; not found: {missed:#?}"));
    assert!(found >= FOUND, "{found} {missed:#?}");
    Ok(())
}

/// Asks a question under a system prompt, and says whether the answer is one that was given before.
async fn ask(stack: &Stack, system: &str, text: &str) -> Result<Option<String>> {
    let (path, body) = question("anthropic", text);
    let mut body: Value = serde_json::from_slice(&body)?;
    body["system"] = json!(system);
    let answer = send(stack, "similar", path, body.to_string().as_bytes(), &[]).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(answer.header("x-headroom-cached").map(str::to_owned))
}
