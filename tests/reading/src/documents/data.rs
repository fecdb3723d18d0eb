//! Logs, JSON, and texts inside of values.

use serde_json::{Value, json};

use super::{Numbers, lines};
use crate::document::{Document, Original};
use crate::question::{Ask, Key, after, all, count, field, inside, line_number, row, value, whether};

fn service_log(count: u64, seed: u64) -> String {
    let mut n = Numbers::new(seed);
    lines(count, |at| {
        let (minute, second) = (at * 7 / 60, at * 7 % 60);
        let took = n.below(900);
        let user = n.below(5000);
        let message = match at % 9 {
            4 => format!("WARN  pool-{} queue is at {} of 256", n.below(4), 128 + n.below(128)),
            8 if at > 30 => {
                format!("ERROR payment of order {} failed: card declined by bank {}", 7000 + at, n.below(90))
            }
            _ => format!("INFO  request r-{at} of user {user} done in {took} ms, {} rows", n.below(70)),
        };
        format!("2026-10-04T09:{minute:02}:{second:02}.{:03}Z {message}", n.below(1000))
    })
}

fn access_log() -> String {
    let mut n = Numbers::new(12);
    lines(60, |at| {
        let status = ["200", "200", "200", "304", "404", "500"][usize::try_from(n.below(6)).unwrap_or(0) % 6];
        format!(
            "10.0.{}.{} - - [04/Oct/2026:10:{:02}:{:02} +0000] \"GET /v1/items/{} HTTP/1.1\" {status} {} \"-\" \"curl/8.5.0\"",
            n.below(4),
            n.below(250),
            at / 6,
            at * 10 % 60,
            1000 + at,
            n.below(9000)
        )
    })
}

pub(super) fn logs() -> Vec<Document> {
    let mut n = Numbers::new(3);
    let trace = lines(24, |at| {
        match at {
        9 => "2026-10-04 11:00:09,412 ERROR worker-2 job 4471 failed\nTraceback (most recent call last):\n  File \"/srv/app/jobs.py\", line 218, in run\n    self.store(row)\n  File \"/srv/app/store.py\", line 77, in store\n    raise KeyError(row[\"tenant\"])\nKeyError: 'acme-eu'".to_owned(),
        _ => format!("2026-10-04 11:00:{at:02},{:03} INFO worker-{} job {} done, {} rows written", n.below(1000), n.below(4), 4400 + at, n.below(500)),
    }
    });
    let syslog = lines(60, |at| match at % 7 {
        3 => format!(
            "Oct  4 12:{:02}:01 web-1 sshd[{}]: Failed password for invalid user {} from 203.0.113.{} port {} ssh2",
            at / 2,
            900 + at,
            n.pick(&["admin", "oracle", "test", "pi"]),
            n.below(250),
            30_000 + n.below(30_000)
        ),
        _ => format!(
            "Oct  4 12:{:02}:{:02} web-1 CRON[{}]: (root) CMD (/usr/local/bin/job-{} --slot {})",
            at / 2,
            at % 60,
            900 + at,
            n.below(6),
            n.below(1000)
        ),
    });
    vec![
        Document::of_command("log-service", "log", "cat service.log", service_log(90, 1))
            .ask("In how many ms was request r-23 done?", after(&["request r-23 "], "done in ", " "))
            .ask("Which user made request r-52?", after(&["request r-52 "], "of user ", " "))
            .ask(
                "At what full timestamp (as printed, with date) was request r-65 logged?",
                field(&["request r-65 "], 0),
            )
            .ask("Which bank declined the card for order 7044?", after(&["order 7044 "], "by bank ", " "))
            .ask("How many lines report an ERROR?", count(&[" ERROR "]))
            .ask("Which line number (from 1) has request r-50?", line_number(&["request r-50 "])),
        Document::of_command("log-access", "log", "tail -60 access.log", access_log())
            .ask("From which IP address was /v1/items/1017 asked for?", field(&["/v1/items/1017 "], 0))
            .ask("Which status did /v1/items/1042 get?", field(&["/v1/items/1042 "], 8))
            .ask("How many bytes did the answer to /v1/items/1033 have?", field(&["/v1/items/1033 "], 9))
            .ask("Was any item answered with status 403? (yes or no)", whether(&["\" 403 "]))
            .ask("Which item number was asked for at 10:07:20?", after(&["10:07:20"], "/v1/items/", " ")),
        Document::of_command("log-trace", "log", "docker logs worker", trace)
            .ask(
                "In which file and line does the last frame of the failure lie? Answer PATH:LINE.",
                Ask::by(|text| {
                    let line = text.lines().rfind(|line| line.contains("File \"")).unwrap_or_default();
                    let path = line.split('"').nth(1).unwrap_or_default();
                    let number = line
                        .split("line ")
                        .nth(1)
                        .and_then(|rest| rest.split(',').next())
                        .unwrap_or_default();
                    Ok(Key::Text(format!("{path}:{number}")))
                }),
            )
            .ask("Which key was missing?", after(&["KeyError: '"], "KeyError: '", "'"))
            .ask("Which job failed?", after(&[" ERROR "], "job ", " "))
            .ask("How many rows did job 4417 write?", after(&["job 4417 "], "done, ", " "))
            .ask("Which worker did job 4403?", after(&["job 4403 "], "INFO ", " ")),
        Document::of_command("log-syslog", "log", "tail -60 /var/log/syslog", syslog)
            .ask(
                "From which address came the failed password of sshd[924]?",
                after(&["sshd[924]"], "from ", " "),
            )
            .ask(
                "Which port did the failed password of sshd[938] come from?",
                after(&["sshd[938]"], "port ", " "),
            )
            .ask("Which user name was tried by sshd[903]?", after(&["sshd[903]"], "invalid user ", " "))
            .ask("Which slot did CRON[926] run?", after(&["CRON[926]"], "--slot ", ")"))
            .ask("How many failed passwords are there?", count(&["Failed password"])),
    ]
}

fn people(count: u64, seed: u64) -> Vec<Value> {
    let mut n = Numbers::new(seed);
    (0..count)
        .map(|at| {
            json!({"id": 300 + at, "name": format!("{} {}", n.pick(&["Ann", "Bo", "Cy", "Di", "Ed"]), n.pick(&["Ash", "Berg", "Cole", "Dahl"])),
                "email": format!("u{}@example.com", n.below(9000)), "active": n.below(3) > 0, "score": n.below(10_000) as f64 / 100.0,
                "team": n.pick(&["core", "edge", "data"]), "manager": if n.below(4) == 0 { Value::Null } else { json!(300 + n.below(count)) },
                "tags": [n.pick(&["new", "vip"]), n.pick(&["eu", "us", "jp"])]})
        })
        .collect()
}

pub(super) fn json() -> Vec<Document> {
    let rows = people(30, 21);
    let pretty = serde_json::to_string_pretty(&rows).unwrap_or_default();
    let mut n = Numbers::new(22);
    let nodes: Vec<Value> = (0..14)
        .map(|at| {
            json!({"metadata": {"name": format!("node-{at}"), "labels": {"zone": n.pick(&["a", "b", "c"]), "pool": "general"}},
                "status": {"cpu": n.below(64), "memory": format!("{}Gi", 8 << n.below(4)), "ready": n.below(5) > 0,
                    "conditions": [{"type": "DiskPressure", "status": n.pick(&["True", "False"])}, {"type": "Ready", "status": "True", "seen": 1_790_000_000 + n.below(9999)}]}})
        })
        .collect();
    let nested = serde_json::to_string_pretty(
        &json!({"kind": "NodeList", "total": 14, "items": nodes, "continue": "b64-77ak"}),
    )
    .unwrap_or_default();
    let events = lines(40, |at| {
        json!({"seq": at, "type": n.pick(&["click", "view", "buy"]), "at": format!("2026-10-04T08:{:02}:{:02}Z", at / 2, n.below(60)), "amount": n.below(500), "sku": format!("S{}", n.below(10_000))})
            .to_string()
    });
    let mixed_keys: Vec<Value> = (0..24)
        .map(|at| {
            let size = n.below(90_000);
            if at % 5 == 0 {
                json!({"path": format!("src/m{at}.rs"), "size": size, "mode": 100_644})
            } else {
                json!({"size": size, "path": format!("src/m{at}.rs"), "kind": n.pick(&["file", "link"])})
            }
        })
        .collect();
    let whole = serde_json::to_string_pretty(&people(40, 23)).unwrap_or_default();
    let cut: String = whole.chars().take(whole.chars().count() * 3 / 5).collect();
    let config = serde_json::to_string_pretty(&json!({"server": {"host": "0.0.0.0", "port": 8443, "tls": {"cert": "/etc/tls/a.pem", "min": "1.3"}},
        "limits": {"body": 33_554_432, "rate": {"per_minute": 240, "burst": 37}}, "features": {"beta": false, "search": true, "ids": [4, 8, 15]},
        "database": {"url": "postgres://db-3.internal/main", "pool": {"min": 2, "max": 19}}, "notes": "left by ops on 2026-09-30"}))
    .unwrap_or_default();
    vec![
        Document::of_command("json-rows", "json", "curl -s localhost/people", pretty)
            .ask("Which e-mail address has the person with id 317?", row("", ("id", "317"), "/email"))
            .ask("Which score has id 305?", row("", ("id", "305"), "/score"))
            .ask("Is id 322 active? (true or false)", row("", ("id", "322"), "/active"))
            .ask("Who is the manager (an id, or null) of id 311?", row("", ("id", "311"), "/manager"))
            .ask("Which tags has id 328?", row("", ("id", "328"), "/tags"))
            .ask("Which team is id 309 in?", row("", ("id", "309"), "/team")),
        Document::of_command("json-nested", "json", "kubectl get nodes -o json", nested)
            .ask("How much memory has node-9?", Ask::by(|text| node(text, "node-9", "/status/memory")))
            .ask("In which zone is node-3?", Ask::by(|text| node(text, "node-3", "/metadata/labels/zone")))
            .ask(
                "What is the status of the condition DiskPressure of node-12?",
                Ask::by(|text| node(text, "node-12", "/status/conditions/0/status")),
            )
            .ask(
                "What is `seen` of node-6's condition Ready?",
                Ask::by(|text| node(text, "node-6", "/status/conditions/1/seen")),
            )
            .ask("What is the value of `continue`?", value("/continue")),
        Document::of_command("json-lines", "json", "cat events.jsonl", events)
            .ask("Which sku has the event with seq 13?", line_value("\"seq\":13,", "sku"))
            .ask("What type is the event with seq 27?", line_value("\"seq\":27,", "type"))
            .ask("At what time was the event with seq 34?", line_value("\"seq\":34,", "at"))
            .ask("Which amount has the event with seq 8?", line_value("\"seq\":8,", "amount"))
            .ask("How many events have the type buy?", count(&["\"buy\""])),
        Document::of_command(
            "json-keys",
            "json",
            "./list --json",
            serde_json::to_string(&mixed_keys).unwrap_or_default(),
        )
        .ask("What size has src/m7.rs?", row("", ("path", "src/m7.rs"), "/size"))
        .ask("What mode has src/m15.rs?", row("", ("path", "src/m15.rs"), "/mode"))
        .ask("What kind is src/m22.rs?", row("", ("path", "src/m22.rs"), "/kind"))
        .ask(
            "How many rows have a member `mode`?",
            Ask::by(|text| Ok(Key::Text(text.matches("\"mode\"").count().to_string()))).derived(),
        )
        .ask("What size has src/m20.rs?", row("", ("path", "src/m20.rs"), "/size")),
        Document::of_command("json-cut", "json-cut", "head -c 4000 people.json", cut)
            .ask("Which e-mail address has the person with id 304?", member_after("\"id\": 304,", "email"))
            .ask("Which score has id 313?", member_after("\"id\": 313,", "score"))
            .ask("Which team is id 319 in?", member_after("\"id\": 319,", "team"))
            .ask("Who is the manager (an id, or null) of id 310?", member_after("\"id\": 310,", "manager"))
            .ask(
                "Is the list complete to its closing bracket? (yes or no)",
                Ask::by(|text| {
                    Ok(Key::Text(
                        if text.trim_end().ends_with(']') && serde_json::from_str::<Value>(text).is_ok() {
                            "yes"
                        } else {
                            "no"
                        }
                        .to_owned(),
                    ))
                })
                .derived(),
            ),
        Document::of_command("json-config", "json", "cat config.json", config)
            .ask(
                "What is the largest number of connections in the pool of the database?",
                value("/database/pool/max"),
            )
            .ask("Which TLS version is the lowest that is allowed?", value("/server/tls/min"))
            .ask("Which burst does the rate limit have?", value("/limits/rate/burst"))
            .ask("Which ids stand under features?", value("/features/ids"))
            .ask("Is the feature beta on? (true or false)", value("/features/beta")),
    ]
}

fn node(text: &str, name: &str, pointer: &str) -> anyhow::Result<Key> {
    let value: Value = serde_json::from_str(text)?;
    let items = value["items"].as_array().into_iter().flatten();
    let found =
        items.filter(|item| item["metadata"]["name"] == name).filter_map(|item| item.pointer(pointer));
    let values: Vec<String> =
        found.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
    match values.as_slice() {
        [one] => Ok(Key::Text(one.clone())),
        _ => anyhow::bail!("{} nodes {name}", values.len()),
    }
}

/// A member of the only line of JSON Lines that contains a mark.
fn line_value(mark: &'static str, member: &'static str) -> Ask {
    Ask::by(move |text| {
        // The order of members depends on the library: compare without a trailing comma or brace.
        let bare = mark.trim_end_matches(',');
        let found = text.lines().filter(|line| line.contains(mark) || line.contains(&format!("{bare}}}")));
        let values: Vec<Value> = found.filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
        match values.as_slice() {
            [one] => {
                Ok(Key::Text(one[member].as_str().map_or_else(|| one[member].to_string(), str::to_owned)))
            }
            _ => anyhow::bail!("{} lines with {mark}", values.len()),
        }
    })
}

/// A member of the object around a mark, in a document that may be cut.
fn member_after(mark: &'static str, member: &'static str) -> Ask {
    Ask::by(move |text| {
        let at = text.find(mark).ok_or_else(|| anyhow::anyhow!("no {mark}"))?;
        let from = text[..at].rfind("\n  {").unwrap_or(0);
        let to = text[at..].find("\n  }").map_or(text.len(), |by| at + by + 4);
        let object: Value = serde_json::from_str(text[from..to].trim())?;
        Ok(Key::Text(object[member].as_str().map_or_else(|| object[member].to_string(), str::to_owned)))
    })
}

pub(super) fn values() -> Vec<Document> {
    let log = service_log(60, 31);
    let shell =
        json!({"stdout": log, "stderr": "warning: 3 hosts were not asked\n", "exitCode": 4}).to_string();
    let rows = serde_json::to_string(&people(24, 32)).unwrap_or_default();
    let mcp = json!({"content": [{"type": "text", "text": rows}], "isError": false}).to_string();
    let table = lines(40, |at| {
        let mut n = Numbers::new(500 + at);
        format!(
            "pod-{at:02}-{:04x}   {}/2   {:10}   {:>3}   {}d",
            n.below(65_536),
            n.below(3),
            n.pick(&["Running", "Pending", "CrashLoop"]),
            n.below(40),
            n.below(90)
        )
    });
    let python = format!("{{'output': {}, 'returncode': 7}}", python(&table));
    let cline = json!([{"query": "ls", "result": lines(30, |at| format!("./app/models/part{}/model_{}.py", at % 3, Numbers::new(at + 61).below(9000))), "success": true},
        {"query": "env", "result": lines(8, |at| format!("VAR_{at}={}", Numbers::new(at + 71).below(9000))), "success": false}])
    .to_string();
    let inner = |ask| inside("/stdout", ask);
    vec![
        Document::of_command("value-stdout", "envelope", "run", shell)
            .ask("In how many ms was request r-11 done?", inner(after(&["request r-11 "], "done in ", " ")))
            .ask("Which user made request r-39?", inner(after(&["request r-39 "], "of user ", " ")))
            .ask("What is the exit code?", value("/exitCode"))
            .ask(
                "How many hosts were not asked, says stderr?",
                inside("/stderr", after(&["warning"], "warning: ", " ")),
            )
            .ask("How many lines of stdout are WARN lines?", inner(count(&[" WARN "]))),
        Document::new(
            "value-mcp",
            "envelope",
            Original::of_outputs([("mcp__crm__people", "{\"limit\":24}", mcp)]),
        )
        .ask(
            "Which e-mail address has the person with id 308?",
            inside("/content/0/text", row("", ("id", "308"), "/email")),
        )
        .ask("Which score has id 315?", inside("/content/0/text", row("", ("id", "315"), "/score")))
        .ask("Which team is id 321 in?", inside("/content/0/text", row("", ("id", "321"), "/team")))
        .ask("Does the result say that it is an error? (true or false)", value("/isError"))
        .ask(
            "Who is the manager (an id, or null) of id 302?",
            inside("/content/0/text", row("", ("id", "302"), "/manager")),
        ),
        Document::of_command("value-python", "envelope", "kubectl get pods", python)
            .ask(
                "What is the whole name of the pod that begins with pod-17?",
                Ask::by(|text| pod(text, "pod-17-", 0)),
            )
            .ask("Which state has the pod that begins with pod-09?", Ask::by(|text| pod(text, "pod-09-", 2)))
            .ask(
                "How often was the pod that begins with pod-31 restarted (the fourth column)?",
                Ask::by(|text| pod(text, "pod-31-", 3)),
            )
            .ask(
                "What is the return code?",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.rsplit("'returncode': ")
                            .next()
                            .unwrap_or_default()
                            .trim_end_matches('}')
                            .to_owned(),
                    ))
                }),
            )
            .ask(
                "How old is the pod that begins with pod-24 (the last column, as printed)?",
                Ask::by(|text| pod(text, "pod-24-", 4)),
            ),
        Document::of_command("value-results", "envelope", "two queries", cline)
            .ask("What is the value of VAR_5?", inside("/1/result", after(&["VAR_5="], "=", " ")))
            .ask("Was the query env a success? (true or false)", value("/1/success"))
            .ask("How many paths lie in ./app/models/part2?", inside("/0/result", count(&["/part2/"])))
            .ask(
                "Which model files lie on lines 4 and 5 of the first result? Answer the two whole paths.",
                inside(
                    "/0/result",
                    Ask::by(|text| Ok(Key::Set(text.lines().skip(3).take(2).map(str::to_owned).collect()))),
                ),
            )
            .ask(
                "Which values have VAR_1 and VAR_7?",
                inside(
                    "/1/result",
                    Ask::by(|text| {
                        let values = text
                            .lines()
                            .filter(|line| line.starts_with("VAR_1=") || line.starts_with("VAR_7="));
                        Ok(Key::Set(
                            values.filter_map(|line| line.split('=').nth(1)).map(str::to_owned).collect(),
                        ))
                    }),
                ),
            ),
        Document::of_command("log-levels", "log", "cat levels.log", service_log(70, 33))
            .ask(
                "Which orders failed (numbers)?",
                all(&[" ERROR "], |line| Some(line.split("order ").nth(1)?.split(' ').next()?.to_owned())),
            )
            .ask(
                "How many rows did request r-42 have?",
                Ask::by(|text| {
                    let line = text.lines().find(|line| line.contains("request r-42 ")).unwrap_or_default();
                    Ok(Key::Text(
                        line.split(", ")
                            .nth(1)
                            .and_then(|rest| rest.split(' ').next())
                            .unwrap_or_default()
                            .to_owned(),
                    ))
                }),
            )
            .ask(
                "How many lines does the output have?",
                Ask::by(|text| Ok(Key::Text(text.lines().count().to_string()))).derived(),
            )
            .ask("Which line number (from 1) has request r-37?", line_number(&["request r-37 "]))
            .ask("Was there a WARN about pool-7? (yes or no)", whether(&["WARN", "pool-7"])),
    ]
}

fn python(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\n', "\\n").replace('\'', "\\'"))
}

fn pod(text: &str, start: &str, field: usize) -> anyhow::Result<Key> {
    let line = text
        .split("\\n")
        .map(|line| line.trim_start_matches("{'output': '"))
        .find(|line| line.starts_with(start));
    let cell = line.and_then(|line| line.split_whitespace().nth(field));
    Ok(Key::Text(cell.ok_or_else(|| anyhow::anyhow!("no {start}"))?.to_owned()))
}
