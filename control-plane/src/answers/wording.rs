//! Whether two questions are the same question in slightly other words.
//!
//! No similarity tells that: "How do I migrate from MySQL to Postgres?" and "How do I migrate to MySQL from Postgres?" have a
//! cosine of 0.99, and one word more ("annual") can ask for something else at 0.98. So two questions are compared word by
//! word, in order, after what people put around a question is taken away: greetings, "tell me", articles, "how can I" for "how do
//! I", "what's" for "what is". Every other word counts as it is spelled: numbers, names, paths, negations, prepositions.

/// Words that nothing depends on.
const EMPTY: &[&str] = &["a", "an", "the", "your", "please", "just"];
/// What questions begin with, and what "how" stands for.
const BEGINNINGS: &[(&[&str], &[&str])] = &[
    (&["hi"], &[]),
    (&["hello"], &[]),
    (&["hey"], &[]),
    (&["can", "you", "tell", "me"], &[]),
    (&["could", "you", "tell", "me"], &[]),
    (&["can", "you", "explain"], &[]),
    (&["could", "you", "explain"], &[]),
    (&["do", "you", "know"], &[]),
    (&["i", "want", "to", "know"], &[]),
    (&["i", "would", "like", "to", "know"], &[]),
    (&["explain", "to", "me"], &[]),
    (&["tell", "me"], &[]),
    (&["explain"], &[]),
    (&["what", "is", "way", "to"], &["how"]),
    (&["what", "is"], &[]),
    (&["what", "are"], &[]),
];
/// The same in the middle: "where can I find it" and "where do I find it".
const ASKING: &[&str] = &["how", "where"];
const HELPING: &[&str] = &["do", "can", "could", "would"];
const ANYBODY: &[&str] = &["i", "we", "one"];
/// What they end with.
const ENDINGS: &[&[&str]] = &[&["thanks"], &["thank", "you"]];

/// The words that a question depends on, in order. Two questions of which these are equal ask for the same, as far as
/// words tell; one without such words asks for nothing.
pub(super) fn wording(text: &str) -> String {
    let mut words: Vec<String> = text.split_whitespace().flat_map(spelled_out).collect();
    words.retain(|word| !EMPTY.contains(&word.as_str()));
    while let Some((begins, stands_for)) = BEGINNINGS.iter().find(|(begins, _)| starts(&words, begins)) {
        drop(words.splice(..begins.len(), stands_for.iter().map(|word| (*word).to_owned())));
    }
    while let Some(ending) = ENDINGS.iter().find(|ending| ends(&words, ending)) {
        words.truncate(words.len() - ending.len());
    }
    let mut at = 0;
    while at < words.len() {
        at += 1;
        let is = |offset: usize, among: &[&str]| {
            words.get(at + offset).is_some_and(|word| among.contains(&word.as_str()))
        };
        let asks = words.get(at - 1).is_some_and(|word| ASKING.contains(&word.as_str()));
        let is_how = words.get(at - 1).is_some_and(|word| word == "how");
        if asks && (is(0, HELPING) && is(1, ANYBODY) || is(0, ANYBODY) && is(1, HELPING)) {
            words.drain(at..at + 2);
        } else if is_how && is(0, &["to"]) {
            words.remove(at);
        }
    }
    words.join(" ")
}

fn starts(words: &[String], with: &[&str]) -> bool {
    words.len() >= with.len() && words.iter().zip(with).all(|(word, with)| word == with)
}

fn ends(words: &[String], with: &[&str]) -> bool {
    let rest = words.len().checked_sub(with.len()).and_then(|at| words.get(at..));
    rest.is_some_and(|rest| starts(rest, with))
}

/// A word without the marks of sentences and quotation, a contraction as the words that it stands for.
fn spelled_out(word: &str) -> Vec<String> {
    let word = folded(bare(word));
    let plain = word.replace('’', "'");
    let whole = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match plain.as_str() {
        "" => return Vec::new(),
        "can't" | "cannot" => return whole(&["can", "not"]),
        "won't" => return whole(&["will", "not"]),
        "i'm" => return whole(&["i", "am"]),
        "i'd" => return whole(&["i", "would"]),
        "into" => return whole(&["in", "to"]),
        _ => {}
    }
    let asks = ["what's", "where's", "who's", "how's", "when's", "why's", "that's", "there's", "it's"];
    if let Some(word) = plain.strip_suffix("'s").filter(|_| asks.contains(&plain.as_str())) {
        return whole(&[word, "is"]);
    }
    match plain.strip_suffix("n't") {
        Some(word) => whole(&[word, "not"]),
        None => vec![word],
    }
}

/// Without quotation marks around it, and without what ends a clause. `5!` and `!=` keep theirs.
fn bare(word: &str) -> &str {
    const QUOTES: &[char] = &['"', '\'', '`', '“', '”', '‘', '’'];
    let mut word = word;
    loop {
        let before = word;
        word = word.trim_matches(QUOTES).trim_end_matches([',', ';', ':', '?', '.']);
        if let Some(rest) = word.strip_suffix('!').filter(|rest| rest.chars().all(char::is_alphabetic)) {
            word = rest;
        }
        if word == before {
            return word;
        }
    }
}

/// A word without the capital that a sentence or a name begins with. `IT` and `iOS` stay: they are not `it` and `ios`.
fn folded(word: &str) -> String {
    let mut letters = word.chars();
    let Some(first) = letters.next() else { return String::new() };
    let is_plain =
        first.is_alphabetic() && letters.clone().all(|c| c.is_lowercase() || c == '\'' || c == '’');
    if is_plain { first.to_lowercase().chain(letters).collect() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asks_the_same(one: &str, other: &str) -> bool {
        let one = wording(one);
        !one.is_empty() && one == wording(other)
    }

    #[test]
    fn what_stands_around_a_question_makes_no_other() {
        for (one, other) in [
            ("How do I reset my password?", "How can I reset my password"),
            ("How do I reset my password?", "What's the way to reset my password?"),
            (
                "How do I reset my password?",
                "Hello! Could you please tell me how to reset my password? Thanks!",
            ),
            ("What is the refund policy?", "what is your refund policy"),
            ("What's the difference between TCP and UDP?", "Explain the difference between TCP and UDP."),
            ("How do I log into the portal?", "how to log in to the portal"),
            ("Where can I download the invoice?", "Where do I download the invoice"),
            ("What does `main.rs` do?", "What does \"main.rs\" do"),
            ("Why isn't it free?", "Why is not it free?"),
        ] {
            assert!(asks_the_same(one, other), "{:?} {:?}", wording(one), wording(other));
        }
    }

    #[test]
    fn every_word_that_may_matter_keeps_questions_apart() {
        for (one, other) in [
            ("How do I migrate from MySQL to Postgres?", "How do I migrate to MySQL from Postgres?"),
            ("Do I need tabs and spaces?", "Do I need tabs or spaces?"),
            ("Can I cancel my subscription?", "Can I cancel my annual subscription?"),
            ("Who is the president?", "Who was the president?"),
            ("Must I pay the fee?", "May I pay the fee?"),
            ("Is a != b?", "Is a = b?"),
            ("What is 5!?", "What is 5?"),
            ("What is -5?", "What is 5?"),
            ("What is 1+1?", "What is 1 + 2?"),
            ("May I take IT along?", "May I take it along?"),
            ("Where is the university?", "Where is the universe?"),
            ("What is our policy?", "What is my policy?"),
            ("Is it in the box?", "Is it on the box?"),
            ("Is it free?", "Isn't it free?"),
            ("How do you work?", "How do I work?"),
            ("", ""),
            ("???", "!!!"),
            ("Please?", "Hello"),
        ] {
            assert!(!asks_the_same(one, other), "{:?} {:?}", wording(one), wording(other));
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_compared(one in ".{0,80}", other in ".{0,80}") {
            prop_assert_eq!(asks_the_same(&one, &one), !wording(&one).is_empty());
            prop_assert_eq!(asks_the_same(&one, &other), asks_the_same(&other, &one));
        }
    }
}
