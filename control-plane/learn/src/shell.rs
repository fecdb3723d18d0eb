//! Parses command lines as far as the learner needs it: which programs they run, with which words.

/// A word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without its quotes
    pub text: String,
    /// Whether any part of it was quoted or escaped
    pub quoted: bool,
}

/// One simple command of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simple {
    /// The program and its arguments, without redirections, assignments and wrappers such as `sudo`
    pub words: Vec<Word>,
    /// Whether its output goes into another program, so that the line's exit code is not its own
    pub piped: bool,
    /// Programs that only run it, such as `sudo` and `timeout`
    pub wrappers: Vec<String>,
}

impl Simple {
    /// The name of the program; empty for a command of assignments only.
    pub fn program(&self) -> &str {
        self.words.first().map_or("", |word| word.text.as_str())
    }

    /// Whether it needs a program of that name: its own, or one that runs it.
    pub fn needs(&self, program: &str) -> bool {
        self.program() == program || self.wrappers.iter().any(|wrapper| wrapper == program)
    }

    /// The words after the program.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.words.iter().skip(1).map(|word| word.text.as_str())
    }

    /// The command as a user would type it.
    pub fn text(&self) -> String {
        let quote = |word: &Word| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,~$*{}<>".contains(c);
            if !word.text.is_empty() && word.text.chars().all(plain) {
                word.text.clone()
            } else if word.text.contains('\'') {
                format!("\"{}\"", word.text)
            } else {
                format!("'{}'", word.text)
            }
        };
        self.words.iter().map(quote).collect::<Vec<_>>().join(" ")
    }
}

/// Commands that only change how the next words are run.
const WRAPPERS: [&str; 9] = ["sudo", "time", "nohup", "command", "builtin", "exec", "then", "do", "else"];

/// Splits a command line into its simple commands. Here-documents and the results of
/// substitutions are ignored.
pub fn parse(line: &str) -> Vec<Simple> {
    let mut commands = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut characters = line.chars().peekable();
    let mut depth = 0_usize;
    let mut here_document = false;
    while let Some(character) = characters.next() {
        let inside = depth > 0;
        match character {
            '\\' => {
                if let Some(next) = characters.next()
                    && next != '\n'
                {
                    push(&mut word, next, true);
                }
            }
            '\'' | '"' => {
                let current = word.get_or_insert_with(|| Word { text: String::new(), quoted: true });
                current.quoted = true;
                while let Some(next) = characters.next() {
                    if next == character {
                        break;
                    }
                    if next == '\\' && character == '"' {
                        current.text.extend(characters.next());
                    } else {
                        current.text.push(next);
                    }
                }
            }
            '$' if characters.peek() == Some(&'(') => {
                characters.next();
                depth += 1;
                push(&mut word, '$', false);
                push(&mut word, '(', false);
            }
            ')' if inside => {
                depth -= 1;
                push(&mut word, ')', false);
            }
            _ if inside => push(&mut word, character, false),
            '<' if characters.peek() == Some(&'<') => {
                characters.next();
                // `<<<` is followed by one word and not by a document
                here_document |= characters.next_if_eq(&'<').is_none();
                while characters.next_if(|next| matches!(next, '-' | ' ' | '\t')).is_some() {}
                while characters
                    .next_if(|next| !next.is_whitespace() && !matches!(next, ';' | '|' | '&'))
                    .is_some()
                {}
            }
            '\n' if here_document => break,
            '|' | '&' | ';' | '\n' => {
                if character == '&' && word.as_ref().is_some_and(|word| word.text.ends_with('>')) {
                    push(&mut word, '&', false);
                    continue;
                }
                let doubled = characters.next_if_eq(&character).is_some();
                words.extend(word.take());
                end(&mut commands, &mut words, character == '|' && !doubled);
            }
            ' ' | '\t' | '\r' => words.extend(word.take()),
            '#' if word.is_none() => while characters.next_if(|next| *next != '\n').is_some() {},
            _ => push(&mut word, character, false),
        }
    }
    words.extend(word);
    end(&mut commands, &mut words, false);
    commands
}

fn push(word: &mut Option<Word>, character: char, quoted: bool) {
    let word = word.get_or_insert_with(|| Word { text: String::new(), quoted: false });
    word.text.push(character);
    word.quoted |= quoted;
}

fn end(commands: &mut Vec<Simple>, words: &mut Vec<Word>, piped: bool) {
    let mut all = std::mem::take(words).into_iter().peekable();
    let mut kept: Vec<Word> = Vec::new();
    let mut wrappers = Vec::new();
    while let Some(word) = all.next() {
        let text = word.text.as_str();
        if kept.is_empty() && matches!(text, "sudo" | "timeout" | "nohup") {
            wrappers.push(text.to_owned());
        }
        if kept.is_empty()
            && (is_assignment(text) || WRAPPERS.contains(&text) || text == "export" || text == "env")
        {
            continue;
        }
        if kept.is_empty() && text == "timeout" {
            all.next_if(|next| next.text.starts_with(|c: char| c.is_ascii_digit()));
            continue;
        }
        if !word.quoted && is_redirection(text) {
            if text.ends_with('>') || text.ends_with('<') {
                all.next();
            }
            continue;
        }
        kept.push(word);
    }
    if !kept.is_empty() {
        commands.push(Simple { words: kept, piped, wrappers });
    }
}

fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn is_redirection(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
    rest.starts_with('>') || rest.starts_with('<')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        parse(line).iter().map(Simple::text).collect()
    }

    #[test]
    fn a_line_falls_into_its_commands() {
        assert_eq!(
            texts("export A=1 && cd /tmp/x && B=2 time python -m pytest -q 2>&1 | tail -5; ls > /dev/null"),
            ["cd /tmp/x", "python -m pytest -q", "tail -5", "ls"]
        );
        assert!(parse("a | b")[0].piped && !parse("a || b")[0].piped);
        assert_eq!(texts("grep 'a|b' \"c;d\" e\\ f"), ["grep 'a|b' 'c;d' 'e f'"]);
        assert_eq!(texts("python3 - <<'EOF'\nimport x\nEOF"), ["python3 -"]);
        assert_eq!(texts("cat $(find . -name x | head -1) y"), ["cat '$(find . -name x | head -1)' y"]);
    }

    #[test]
    fn no_line_is_too_broken() {
        for line in ["", "'", "\"\\", "$(", ")", "<<", "&&&", "|", "a 2>", "\\"] {
            let words = parse(line).into_iter().flat_map(|simple| simple.words);
            let bytes: usize = words.map(|word| word.text.len()).sum();
            assert!(bytes <= line.len(), "{line}");
        }
    }
}
