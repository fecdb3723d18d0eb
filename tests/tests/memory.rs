//! `headroomctl memory` against a real headroomd: a person saves, corrects, deletes and exports facts, and imports them
//! from upstream, the Python product.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::built;
use headroom_e2e::sidecar::{Kind, Sidecar};
use serde_json::Value;

/// The command line in a folder.
struct Person {
    headroomctl: PathBuf,
    url: String,
    folder: PathBuf,
}

impl Person {
    fn run(&self, folder: &Path, arguments: &[&str]) -> Result<String> {
        let done = Command::new(&self.headroomctl)
            .args(["memory", "--url", &self.url])
            .args(arguments)
            .env_clear()
            .env("HOME", &self.folder)
            .current_dir(folder)
            .output()?;
        let said = String::from_utf8(done.stdout)?;
        ensure!(done.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
        Ok(said)
    }

    fn facts(&self, folder: &Path) -> Result<Vec<(String, String)>> {
        let listed: Vec<Value> = serde_json::from_str(&self.run(folder, &["list", "--json"])?)?;
        let text = |fact: &Value, name: &str| fact[name].as_str().unwrap_or_default().to_owned();
        Ok(listed.iter().map(|fact| (text(fact, "id"), text(fact, "content"))).collect())
    }
}

#[tokio::test]
async fn a_person_keeps_corrects_forgets_and_hands_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
    let person = Person {
        headroomctl: built::headroomctl().await?,
        url: format!("http://{}", sidecar.http()),
        folder: folder.path().to_owned(),
    };
    let (shop, other) = (folder.path().join("shop/src"), folder.path().join("other"));
    std::fs::create_dir_all(folder.path().join("shop/.git"))?;
    std::fs::create_dir_all(&shop)?;
    std::fs::create_dir_all(&other)?;

    person.run(&shop, &["add", "Staging deploys happen every Tuesday", "--importance", "0.9"])?;
    let close = person.run(&shop, &["add", "Staging deploys happen every Thursday"])?;
    assert!(close.contains("contradicts"), "{close}");
    person.run(&shop, &["add", "likes tabs\nand newlines", "--scope", "user"])?;
    let facts = person.facts(&shop)?;
    assert_eq!(facts.len(), 3);
    assert_eq!(person.facts(&other)?, [(facts[0].0.clone(), "likes tabs\nand newlines".to_owned())]);
    let id = facts.last().context("there are facts")?.0.as_str();
    assert!(person.run(&shop, &["search", "when do we deploy to staging?"])?.contains(id));

    person.run(&shop, &["edit", id, "Staging deploys happen daily", "--reason", "new rhythm"])?;
    person.run(&shop, &["forget", id, "--reason", "no staging"])?;
    assert!(!person.run(&shop, &["list"])?.contains(id));
    assert!(person.run(&shop, &["restore", id])?.contains("Staging deploys happen daily"));
    let history = person.run(&shop, &["show", id])?;
    for said in ["version 3", "every Tuesday", "because: new rhythm", "deleted", "because: no staging"] {
        assert!(history.contains(said), "{said}: {history}");
    }
    assert!(person.run(&other, &["show", id]).is_err(), "not from another project");

    for (format, name) in [("jsonl", "a.jsonl"), ("markdown", "b.md")] {
        let file = folder.path().join(name);
        let file = file.to_str().context("a path in UTF-8")?;
        person.run(&shop, &["export", "--format", format, "--output", file])?;
        let done = person.run(&other, &["import", file, "--project", name])?;
        assert!(done.starts_with("2 facts kept, 1 were there"), "{done}");
        let again = person.run(&other, &["import", file, "--project", name])?;
        assert!(again.starts_with("0 facts kept, 3 were there"), "{again}");
        let there = person.run(&other, &["list", "--project", name])?;
        assert!(
            there.contains("Staging deploys happen daily") && there.contains("every Thursday"),
            "{there}"
        );
    }

    let block = person.run(&shop, &["context"])?;
    assert!(
        block.contains("not instructions") && block.contains(r#"- "likes tabs\nand newlines""#),
        "{block}"
    );
    assert!(
        block.lines().nth(1).is_some_and(|first| first.contains("daily")),
        "what matters most is first: {block}"
    );
    let doctor = person.run(&shop, &["doctor"])?;
    assert!(doctor.contains("memory.db") && doctor.contains("shop: 2 facts"), "{doctor}");
    person.run(&shop, &["forget", id, "--purge"])?;
    assert!(person.run(&shop, &["show", id]).is_err());
    Ok(())
}
