use super::*;

/// As headroomd is without an embedding model.
struct Nothing;

#[async_trait]
impl QuestionEmbedder for Nothing {
    async fn vector(&self, _: &str) -> Option<Vector> {
        None
    }
}

/// To which every text means the same: whatever keeps two questions apart is what is compared beside their vectors.
struct OneMeaning;

#[async_trait]
impl QuestionEmbedder for OneMeaning {
    async fn vector(&self, _: &str) -> Option<Vector> {
        Some(Vector { embedder: "one".to_owned(), values: vec![1.0, 0.0] })
    }
}

/// To which texts of another length mean something else.
struct Lengths;

#[async_trait]
impl QuestionEmbedder for Lengths {
    async fn vector(&self, text: &str) -> Option<Vector> {
        let angle = text.len() as f32 / 40.0;
        Some(Vector { embedder: "lengths".to_owned(), values: vec![angle.cos(), angle.sin()] })
    }
}

async fn answers(max_bytes: usize) -> Answers {
    Answers::new(max_bytes, Nothing)
}

fn question(text: &str, scope: u8) -> Option<Question> {
    Some(Question { scope: vec![scope; 32], text: text.to_owned(), similarity: 95 })
}

/// Whether the answer to the one question is given to the other.
async fn is_shared(answers: &Answers, one: &str, other: &str) -> bool {
    answers.purge(&Scope::All, false);
    assert!(answers.keep(key("t", 1), Some(answer(10)), TTL, question(one, 0)).await);
    let found = answers.find(AnswerQuery { question: question(other, 0), ..wanted(&key("t", 2)) }).await;
    answers.keep(key("t", 2), None, TTL, None).await;
    matches!(found, LookupOutcome::Answer { similar: true, .. })
}

#[tokio::test]
async fn a_question_in_nearly_the_same_words_gets_the_answer_and_one_that_asks_for_something_else_does_not() {
    let answers = Answers::new(1 << 20, OneMeaning);
    for (one, other) in [
        ("What is the refund policy?", "what is your refund policy"),
        ("How do I reset my password?", "How can I reset my password"),
    ] {
        assert!(is_shared(&answers, one, other).await, "{one} / {other}");
    }
    for (one, other) in [
        ("What is 1+1?", "What is 1+2?"),
        ("What is 17 times 3?", "What is 18 times 3?"),
        ("Is the API stable in version 2.1?", "Is the API stable in version 2.2?"),
        ("Who is Alice Miller?", "Who is Alice Muller?"),
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("what is the capital of france", "what is the capital of spain"),
        ("What does src/a.rs do?", "What does src/b.rs do?"),
        ("Should I use tabs?", "Should I not use tabs?"),
        ("How do I run it with the cache?", "How do I run it without the cache?"),
        ("Is pnpm better than npm?", "Is npm better than pnpm?"),
        ("Does the dog bite the man?", "Does the man bite the dog?"),
        ("Can I copy from a/ to b/?", "Can I copy from b/ to a/?"),
        ("\u{1f600}?", "\u{1f622}?"),
        ("???", "!!!"),
    ] {
        assert!(!is_shared(&answers, one, other).await, "{one} / {other}");
    }
}

#[tokio::test]
async fn questions_are_compared_within_a_tenant_a_scope_a_time_and_a_distance() {
    let answers = Answers::new(1 << 20, Lengths);
    let (asked, near) = ("What is the refund policy?", "what is the refund policy");
    assert!(is_shared(&answers, asked, near).await);
    assert!(!is_shared(&answers, asked, "please tell me now: what is the refund policy of it all").await);
    answers.keep(key("t", 1), Some(answer(10)), TTL, question(asked, 0)).await;
    for (key, question) in [(key("u", 2), question(near, 0)), (key("t", 3), question(near, 1))] {
        assert_eq!(answers.find(AnswerQuery { question, ..wanted(&key) }).await, LookupOutcome::Nothing);
    }
    let exact_only = AnswerQuery { question: None, ..wanted(&key("t", 4)) };
    assert_eq!(answers.find(exact_only).await, LookupOutcome::Nothing);
    assert_eq!(answers.counts().read().similar, 1);
}

fn key(tenant: &str, number: u8) -> Key {
    Key { tenant: tenant.to_owned(), digest: [number; 32] }
}

fn wanted(key: &Key) -> AnswerQuery {
    AnswerQuery { key: key.clone(), max_age: None, wait: Duration::ZERO, question: None }
}

fn answer(bytes: usize) -> Answer {
    Answer { content_type: "application/json".to_owned(), body: vec![b'a'; bytes] }
}

const TTL: Duration = Duration::from_secs(60);

async fn is_there(answers: &Answers, key: &Key) -> bool {
    matches!(answers.find(wanted(key)).await, LookupOutcome::Answer { .. })
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_byte_for_byte_until_its_time_is_over() {
    let answers = answers(1 << 20).await;
    let one = key("t", 1);
    assert!(!answers.is_asked());
    assert_eq!(answers.find(wanted(&one)).await, LookupOutcome::Nothing);
    assert!(answers.is_asked());
    assert!(answers.keep(one.clone(), Some(answer(10)), TTL, None).await);
    tokio::time::advance(Duration::from_secs(59)).await;
    let LookupOutcome::Answer { answer: found, age, similar } = answers.find(wanted(&one)).await else {
        panic!("it is gone")
    };
    assert_eq!((&*found, age.as_secs(), similar), (&answer(10), 59, false));
    let young = AnswerQuery { max_age: Some(Duration::from_secs(58)), ..wanted(&one) };
    assert_eq!(answers.find(young).await, LookupOutcome::Nothing, "the client wants a newer one");
    for other in [key("u", 1), key("t", 2)] {
        assert!(!is_there(&answers, &other).await);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!is_there(&answers, &one).await);
    answers.sweep();
    assert_eq!(answers.size().0, 0);
    assert_eq!(answers.size().1, 0);
}

#[tokio::test]
async fn the_one_that_was_asked_for_longest_ago_makes_room() {
    let answers = answers(3_000).await;
    for number in 1..=2 {
        assert!(answers.keep(key("t", number), Some(answer(900)), TTL, None).await);
    }
    assert!(is_there(&answers, &key("t", 1)).await);
    assert!(answers.keep(key("t", 3), Some(answer(900)), TTL, None).await);
    let there = [is_there(&answers, &key("t", 1)).await, is_there(&answers, &key("t", 2)).await];
    assert_eq!(there, [true, false]);
    assert!(!answers.keep(key("t", 4), Some(answer(3_000)), TTL, None).await, "larger than everything");
    let (entries, bytes, max) = answers.size();
    assert!(entries == 2 && bytes <= max && bytes > 1_800, "{entries} {bytes}");
    let counts = answers.counts().read();
    assert_eq!((counts.kept, counts.evicted, counts.refused), (3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn of_equal_requests_one_fetches_the_answer_and_the_others_get_it() {
    let answers = answers(1 << 20).await;
    let one = key("t", 1);
    assert_eq!(answers.find(wanted(&one)).await, LookupOutcome::Nothing);
    assert_eq!(answers.find(wanted(&one)).await, LookupOutcome::UnderWay);
    let follower = || {
        let (answers, key) = (answers.clone(), one.clone());
        tokio::spawn(async move {
            answers.find(AnswerQuery { wait: Duration::from_secs(30), ..wanted(&key) }).await
        })
    };
    let followers = [follower(), follower()];
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(answers.keep(one.clone(), Some(answer(10)), TTL, None).await);
    for follower in followers {
        assert!(matches!(follower.await.unwrap(), LookupOutcome::Answer { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_an_answer_that_will_not_come() {
    let answers = answers(1 << 20).await;
    let one = key("t", 1);
    assert_eq!(answers.find(wanted(&one)).await, LookupOutcome::Nothing);
    let waits = AnswerQuery { wait: Duration::from_secs(30), ..wanted(&one) };
    assert_eq!(answers.find(waits.clone()).await, LookupOutcome::UnderWay, "it is over after the time");
    let follower = {
        let answers = answers.clone();
        tokio::spawn(async move { answers.find(waits).await })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!answers.keep(one.clone(), None, TTL, None).await);
    assert_eq!(follower.await.unwrap(), LookupOutcome::Nothing);
    // the request that was to fetch it is gone: after a while another one is to fetch it
    assert_eq!(answers.find(wanted(&one)).await, LookupOutcome::Nothing);
    assert_eq!(answers.find(wanted(&one)).await, LookupOutcome::UnderWay);
    tokio::time::advance(FETCHES_WITHIN).await;
    assert_eq!(answers.find(wanted(&one)).await, LookupOutcome::Nothing);
}

#[tokio::test]
async fn a_tenant_s_answers_or_old_ones_can_be_forgotten() {
    let answers = answers(1 << 20).await;
    for (tenant, number) in [("t", 1), ("t", 2), ("u", 1)] {
        answers.keep(key(tenant, number), Some(answer(10)), TTL, None).await;
    }
    let tenant = Scope::Tenant("t".to_owned());
    assert_eq!(answers.purge(&tenant, true).answers, 2);
    assert_eq!(answers.size().0, 3, "a dry run forgets nothing");
    assert_eq!(answers.purge(&tenant, false).answers, 2);
    assert!(is_there(&answers, &key("u", 1)).await && !is_there(&answers, &key("t", 1)).await);
    assert_eq!(answers.purge(&Scope::Before(0), false).answers, 0);
    assert_eq!(answers.purge(&Scope::Before(now_ms() + 1_000), false).answers, 1);
    assert_eq!((answers.size().0, answers.size().1), (0, 0));
}
