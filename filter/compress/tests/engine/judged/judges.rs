//! The languages' own parsers, each started once for all files.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file before and after.
pub(crate) struct Pair {
    pub(crate) source: PathBuf,
    pub(crate) before: PathBuf,
    pub(crate) after: PathBuf,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Judge {
    Python,
    Node,
    TypeScript,
    Gofmt,
    Syn,
    Javac,
    Gcc,
}

/// Prints the files that do not compile.
const PYTHON: &str = r#"
import sys, warnings
warnings.simplefilter("ignore")
for name in sys.stdin.read().split("\n"):
    if name:
        try:
            compile(open(name, "rb").read(), name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            print(name)
"#;

/// The same as `node --check`, in one process: a script, or else a module.
const NODE: &str = r#"
const vm = require("vm"), fs = require("fs");
const valid = (make) => { try { make(); return true; } catch (error) { return !(error instanceof SyntaxError); } };
for (const name of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const text = fs.readFileSync(name, "utf8").replace(/^#!.*/, "");
  const script = () => new vm.Script(`(function (exports, require, module, __filename, __dirname) {${text}\n})`);
  if (!valid(script) && !valid(() => new vm.SourceTextModule(text))) console.log(name);
}
"#;

const TYPESCRIPT: &str = r#"
const fs = require("fs"), ts = require(process.env.HEADROOM_TYPESCRIPT);
for (const fileName of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const compilerOptions = { jsx: ts.JsxEmit.Preserve, target: ts.ScriptTarget.ESNext };
  const text = fs.readFileSync(fileName, "utf8");
  const { diagnostics } = ts.transpileModule(text, { fileName, compilerOptions, reportDiagnostics: true });
  if (diagnostics.length) console.log(fileName);
}
"#;

const JAVA: &str = r#"
import com.sun.source.util.JavacTask;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.ToolProvider;

class Parse {
    public static void main(String[] arguments) throws Exception {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        for (String name : Files.readAllLines(Path.of(arguments[0]))) {
            DiagnosticCollector<JavaFileObject> found = new DiagnosticCollector<>();
            var files = compiler.getStandardFileManager(found, null, null);
            var units = files.getJavaFileObjects(new File(name));
            ((JavacTask) compiler.getTask(null, files, found, List.of("-proc:none"), null, units)).parse();
            if (found.getDiagnostics().stream().anyMatch(one -> one.getKind() == Diagnostic.Kind.ERROR)) {
                System.out.println(name);
            }
        }
    }
}
"#;

impl Judge {
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name.rsplit_once('.')?.1 {
            "py" => Self::Python,
            "js" | "mjs" | "cjs" => Self::Node,
            "ts" | "tsx" => Self::TypeScript,
            "go" => Self::Gofmt,
            "rs" => Self::Syn,
            "java" => Self::Javac,
            "c" | "cc" | "cpp" | "hpp" | "h" => Self::Gcc,
            _ => return None,
        })
    }

    /// The files that this judge refuses.
    pub(crate) fn refused(self, pairs: &[Pair]) -> Result<HashSet<PathBuf>, String> {
        let files: Vec<&Path> = pairs.iter().flat_map(|pair| [&*pair.before, &*pair.after]).collect();
        match self {
            Self::Python => run(Command::new("python3").args(["-c", PYTHON]), &files),
            Self::Node => run(
                Command::new("node").args(["--no-warnings", "--experimental-vm-modules", "-e", NODE]),
                &files,
            ),
            Self::TypeScript => {
                std::env::var_os("HEADROOM_TYPESCRIPT").ok_or("HEADROOM_TYPESCRIPT is not set")?;
                run(Command::new("node").args(["-e", TYPESCRIPT]), &files)
            }
            Self::Gofmt => gofmt(&files),
            Self::Syn => {
                Ok(files.into_iter().filter(|file| !syn_accepts(file)).map(Path::to_owned).collect())
            }
            Self::Javac => java(&files),
            Self::Gcc => gcc(pairs),
        }
    }
}

/// Passes the names of files to a program's input, and reads the refused ones from its output.
fn run(command: &mut Command, files: &[&Path]) -> Result<HashSet<PathBuf>, String> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let names: Vec<u8> =
        files.iter().flat_map(|file| [file.as_os_str().as_encoded_bytes(), b"\n"].concat()).collect();
    let mut input = child.stdin.take().ok_or("no input")?;
    let writer = std::thread::spawn(move || input.write_all(&names));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    writer.join().map_err(|_| "the names were not taken")?.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect())
}

/// `gofmt -e` reports errors as `file:line:column: reason`.
fn gofmt(files: &[&Path]) -> Result<HashSet<PathBuf>, String> {
    let mut refused = HashSet::new();
    for some in files.chunks(200) {
        let output = Command::new("gofmt")
            .args(["-e", "-l"])
            .args(some)
            .output()
            .map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        refused.extend(
            said.lines()
                .filter_map(|line| Some(PathBuf::from(line.split_once(".go:")?.0.to_owned() + ".go"))),
        );
    }
    Ok(refused)
}

fn syn_accepts(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| syn::parse_file(&text).is_ok())
}

fn java(files: &[&Path]) -> Result<HashSet<PathBuf>, String> {
    let folder = files.first().and_then(|file| file.ancestors().nth(3)).ok_or("no files")?;
    let (program, list) = (folder.join("Parse.java"), folder.join("files.txt"));
    fs::write(&program, JAVA).map_err(|error| error.to_string())?;
    let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    fs::write(&list, names.join("\n")).map_err(|error| error.to_string())?;
    run(Command::new("java").arg(program).arg(list), &[])
}

/// Only files that compile in their own folder can be judged, because their headers have to be found.
fn gcc(pairs: &[Pair]) -> Result<HashSet<PathBuf>, String> {
    let mut refused = HashSet::new();
    for pair in pairs {
        let c = pair.source.extension().is_some_and(|ending| ending == "c");
        let mut flags: Vec<OsString> = vec!["-fsyntax-only".into(), "-w".into()];
        flags.push(if c { "-xc" } else { "-xc++" }.into());
        for around in pair.source.ancestors().skip(1).take(4) {
            for folder in [around.to_owned(), around.join("include"), around.join("src")] {
                flags.push("-I".into());
                flags.push(folder.into());
            }
        }
        for file in [&pair.before, &pair.after] {
            let program = if c { "gcc" } else { "g++" };
            let output =
                Command::new(program).args(&flags).arg(file).output().map_err(|error| error.to_string())?;
            if !output.status.success() {
                refused.insert(file.clone());
                if file == &pair.before {
                    break;
                }
            }
        }
    }
    Ok(refused)
}
