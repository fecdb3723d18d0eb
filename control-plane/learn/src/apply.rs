//! Puts a project's lessons into the files of the agents that worked on it. All files are planned and checked
//! first, then written.

use std::path::Path;

use anyhow::Context as _;

use super::analyzers::Report;
use super::lesson::{Lesson, Section as Heading};
use super::merge::{self, Merge, MergeError, Section};
use super::model::Session;
use super::plugins::{Home, Plugin, Target, Targets};

/// The planned changes for a project.
#[derive(Debug, Default)]
pub struct Plan {
    /// The files
    pub merges: Vec<Merge>,
    /// Remarks for the user
    pub notes: Vec<String>,
}

/// The files of the agents that have conversations in a project. Nothing is written.
pub fn plan(
    project: &Path,
    lessons: &[Lesson],
    sessions: &[(Session, Report)],
    plugins: &[&dyn Plugin],
    home: &Home,
    date: &str,
) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    if lessons.is_empty() {
        return Ok(plan);
    }
    if !project.is_dir() {
        plan.notes.push(format!("{} is not on this machine; nothing is written for it", project.display()));
        return Ok(plan);
    }
    let holds = |title: &str, about: &str| still_holds(title, about, sessions);
    let mut seen = Vec::new();
    for plugin in
        plugins.iter().filter(|plugin| sessions.iter().any(|(session, _)| *session.agent == *plugin.name()))
    {
        let targets = plugin.targets(project, home);
        plan.notes.extend(targets.context.note.map(str::to_owned));
        for (target, sections) in distribute(&targets, lessons, &holds, date, &mut plan.notes)? {
            // two agents may read one file
            if seen.contains(&target.path) {
                continue;
            }
            seen.push(target.path.clone());
            let merge = merge::merge(&target.path, &sections, &holds, date, target.loaded_lines)?;
            if merge.is_change() {
                merge::check(&merge)?;
                plan.merges.push(merge);
            }
        }
    }
    Ok(plan)
}

/// The blocks that earlier runs wrote into the files of a project.
pub fn prior(
    project: &Path,
    sessions: &[(Session, Report)],
    plugins: &[&dyn Plugin],
    home: &Home,
) -> Vec<String> {
    let mut paths = Vec::new();
    for plugin in
        plugins.iter().filter(|plugin| sessions.iter().any(|(session, _)| *session.agent == *plugin.name()))
    {
        let targets = plugin.targets(project, home);
        paths.push(targets.context.path);
        paths.extend(targets.memory.map(|memory| memory.path));
    }
    paths.sort();
    paths.dedup();
    let block = |path: std::path::PathBuf| {
        let text = merge::read(&path).ok()??;
        merge::extract_marker_block(&text).map(str::to_owned)
    };
    paths.into_iter().filter_map(block).collect()
}

/// Distributes lessons to files. Lessons that do not fit into the loaded part of a memory file go into the
/// file of instructions, which is loaded completely.
fn distribute<'t>(
    targets: &'t Targets,
    lessons: &[Lesson],
    holds: &dyn Fn(&str, &str) -> bool,
    date: &str,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<(&'t Target, Vec<Section>)>> {
    if let Some(memory) = &targets.memory {
        let own = sections(lessons.iter().filter(|lesson| lesson.is_memory));
        match merge::merge(&memory.path, &own, holds, date, memory.loaded_lines) {
            Ok(_) => {
                let rest = sections(lessons.iter().filter(|lesson| !lesson.is_memory));
                let both = [(&targets.context, rest), (memory, own)];
                return Ok(both.into_iter().filter(|(_, sections)| !sections.is_empty()).collect());
            }
            Err(error @ MergeError::NotLoaded(..)) => {
                notes.push(format!("{error}; its lessons go into {}", targets.context.path.display()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(vec![(&targets.context, sections(lessons.iter()))])
}

/// Lessons under their headings.
fn sections<'l>(lessons: impl Iterator<Item = &'l Lesson>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for lesson in lessons {
        let index =
            sections.iter().position(|section| section.title == lesson.section).unwrap_or_else(|| {
                sections.push(Section { title: lesson.section.clone(), ..Section::default() });
                sections.len() - 1
            });
        if let Some(section) = sections.get_mut(index) {
            section.entries.push(lesson.text.clone());
            if let Some(saved) = lesson.tokens_saved {
                section.tokens_saved = Some(section.tokens_saved.unwrap_or(0).saturating_add(saved));
            }
        }
    }
    sections
}

/// Whether an entry of an older run is still true. It is not if a path that it calls missing has existed
/// since, or a program that it calls missing has run since.
fn still_holds(title: &str, about: &str, sessions: &[(Session, Report)]) -> bool {
    if title == Heading::Structure.title() {
        return !sessions.iter().any(|(_, report)| report.has_path(about));
    }
    title != Heading::Environment.title()
        || !sessions.iter().any(|(_, report)| report.programs.contains(about))
}

/// Writes all files of the plans.
pub fn write(plans: &[Plan]) -> anyhow::Result<()> {
    for merge in plans.iter().flat_map(|plan| &plan.merges) {
        merge::write(merge).with_context(|| format!("{} was not changed", merge.path.display()))?;
    }
    Ok(())
}
