//! Families of outputs that once had no form: what each saves without loss, and what stays readable.

use headroom_compress::{Api, Config, Memo, Profile, Request, RetrieveTool, compress};
use serde_json::{Value, json};

use crate::bash;

/// The form of a command's output, and its tokens before and after.
fn form(command: &str, output: &str, profile: Profile) -> (String, u32, u32) {
    let body = bash::request(command, output);
    let lossy = profile != Profile::Lossless;
    let tool = if lossy { RetrieveTool::Add } else { RetrieveTool::Assume };
    let request = Request { reversible: lossy, retrieve_tool: tool, ..Request::new(Api::AnthropicMessages) };
    let config = Config { profile, ..Config::default() };
    let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20));
    let sent: Value = serde_json::from_slice(&outcome.body).unwrap();
    let shown = sent["messages"][2]["content"][0]["content"].as_str().unwrap().to_owned();
    (shown, outcome.blocks[0].tokens_before, outcome.blocks[0].tokens_after)
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|n| line(n) + "\n").collect()
}

/// Asserts that at most this percentage of the tokens stays.
fn saves(command: &str, output: &str, percent: u32) -> String {
    let (shown, before, after) = form(command, output, Profile::Lossless);
    assert!(after * 100 <= before * percent, "{command}: {before} -> {after}\n{shown}");
    shown
}

#[test]
fn tables_of_processes_sockets_and_packages() {
    let top = "top - 10:22:31 up 12 days,  3:02,  2 users,  load average: 0.52, 0.61, 0.70\n\n    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND\n".to_owned()
        + &lines(50, |n| format!("{:>7} www-data  20   0 {:>7} {:>6} {:>6} S   0.0   0.1 {:>3}:{:02}.07 nginx", n * 37 + 1, 90_000 + n, 1000 + n, 700 + n, n, n % 60));
    let shown = saves("top -bn1", &top, 75);
    assert!(shown.contains("USER=www-data") && shown.contains("COMMAND=nginx"), "{shown}");
    assert!(shown.contains("\n38 90001 1001 701 1:01.07\n"), "{shown}");

    let ss = "State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess\n".to_owned()
        + &lines(50, |n| format!("ESTAB  0      0           10.0.0.1:22        10.0.9.{n}:{} ", 5000 + n));
    let shown = saves("ss -tan", &ss, 90);
    assert!(
        shown.contains("\nState,Recv-Q,Send-Q,Local Address:Port,Peer Address:Port,Process\n"),
        "{shown}"
    );

    let dpkg = "||/ Name           Version      Architecture Description\n+++-==============-============-============-=================================\n".to_owned()
        + &lines(60, |n| format!("ii  {:<14} {:<12} amd64        library of part {n} of the system", format!("libpart{n}"), format!("1.{n}.0-2")));
    let shown = saves("dpkg -l", &dpkg, 85);
    assert!(shown.contains("the same in every row: ||/=ii, Architecture=amd64"), "{shown}");
    assert!(shown.contains("\nlibpart7 1.7.0-2 library of part 7 of the system\n"), "{shown}");

    let psql = " id   |  name   | total \n------+---------+-------\n".to_owned()
        + &lines(60, |n| format!(" {:4} | user{n:<3} | {:5}", 8000 + n, n * 7))
        + "(60 rows)\n";
    let shown = saves("psql -c 'select * from t'", &psql, 75);
    assert!(shown.starts_with("id|name|total\n-+-+-\n8000|user0|0\n8001|user1|7\n"), "{shown}");
}

/// What `terraform plan` prints of resources that are made by `count`.
fn plan_of_copies() -> String {
    let web = |n: usize| {
        format!(
            "  # terraform_data.web[{n}] will be created\n  + resource \"terraform_data\" \"web\" {{\n      + id     = (known after apply)\n      + input  = {{\n          + env   = \"prod\"\n          + name  = \"web-{n}\"\n          + ports = [\n              + 80,\n              + 443,\n            ]\n          + size  = \"{}\"\n        }}\n      + output = (known after apply)\n    }}\n",
            if n == 17 { "xlarge" } else { "small" }
        )
    };
    "Terraform will perform the following actions:\n\n".to_owned()
        + &lines(30, web)
        + "Plan: 30 to add, 0 to change, 0 to destroy.\n"
}

/// The same of resources of several kinds, some of which change.
fn plan_of_kinds() -> String {
    const KNOWN: [&str; 12] = [
        "arn",
        "availability_zone",
        "cpu_core_count",
        "host_id",
        "id",
        "instance_state",
        "ipv6_addresses",
        "key_name",
        "private_dns",
        "private_ip",
        "public_dns",
        "public_ip",
    ];
    let attribute = |name: &str, value: &str| format!("      + {name:<18} = {value}\n");
    let known: String = KNOWN.iter().map(|name| attribute(name, "(known after apply)")).collect();
    let mut plan = "Terraform will perform the following actions:\n\n".to_owned();
    for (kind, name) in [("instance", "web"), ("db_instance", "main"), ("lb", "front"), ("eip", "nat")] {
        plan += &format!(
            "  # aws_{kind}.{name} will be created\n  + resource \"aws_{kind}\" \"{name}\" {{\n{}{known}{}    }}\n\n",
            attribute("ami", "\"ami-0c55b159\""),
            attribute("tags_all", "(known after apply)")
        );
    }
    plan + "  # aws_security_group.web will be updated in-place\n  ~ resource \"aws_security_group\" \"web\" {\n        id   = \"sg-1\"\n      ~ name = \"old\" -> \"new\"\n        # (6 unchanged attributes hidden)\n    }\n\n  # aws_eip.old must be replaced\n-/+ resource \"aws_eip\" \"old\" {\n      ~ id     = \"eip-1\" -> (known after apply)\n      ~ domain = \"vpc\" -> \"standard\" # forces replacement\n    }\n\nPlan: 5 to add, 1 to change, 1 to destroy.\n"
}

#[test]
fn plans_state_what_their_resources_share_once_and_show_what_is_different() {
    let shown = saves("terraform plan -no-color", &plan_of_copies(), 25);
    assert!(
        shown.starts_with("[headroom: nothing left out. A line \"A x y\" stands for the lines of block A, with x for <1> and y for <2>]\nA, 15 lines:\n  # terraform_data.web[<1>] will be created\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\n          + name  = \"<2>\"\n") && shown.contains("\nA 16 web-16\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\n          + name  = \"web-17\"\n") && shown.contains("size  = \"xlarge\""),
        "{shown}"
    );
    assert!(shown.ends_with("\nA 29 web-29\nPlan: 30 to add, 0 to change, 0 to destroy.\n"), "{shown}");

    let shown = saves("terraform plan -no-color", &plan_of_kinds(), 60);
    for line in [
        "  # aws_db_instance.main will be created",
        "      ~ name = \"old\" -> \"new\"",
        "  # aws_eip.old must be replaced",
        "      ~ domain = \"vpc\" -> \"standard\" # forces replacement",
        "Plan: 5 to add, 1 to change, 1 to destroy.",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is missing in\n{shown}");
    }
}

#[test]
fn a_git_log_with_committers_names_them_once() {
    let log = lines(30, |n| {
        format!(
            "commit {:040x}\nAuthor:     Ann A <ann@x.org>\nAuthorDate: Mon Nov {} 15:48:30 2026 +0000\nCommit:     GitHub <noreply@github.com>\nCommitDate: Mon Nov {} 15:49:30 2026 +0000\n\n    part {n}\n",
            n * 7919,
            1 + n % 28,
            1 + n % 28
        )
    });
    let shown = saves("git log --format=fuller", &log, 65);
    assert!(shown.contains(" Mon Nov 8 15:48:30 2026; 15:49:30\n part 7\n"), "{shown}");
}

#[test]
fn blame_of_the_head_of_a_file() {
    let blame = lines(40, |n| {
        format!("3b1f6c21 (Ann Example 2026-03-01 15:48:30 +0000 {:4})     let x{n} = {n};", n + 1)
    });
    saves("git blame a.rs | head -40", &blame, 45);
}

#[test]
fn json_behind_a_label_on_a_later_line_is_whole_and_not_called_cut() {
    let rows: Vec<Value> =
        (0..60).map(|n| json!({"id": n, "name": format!("task {n}"), "state": "open"})).collect();
    for document in [serde_json::to_string(&rows).unwrap(), serde_json::to_string_pretty(&rows).unwrap()] {
        let text =
            format!("Command: curl x\nDirectory: (root)\nOutput: {document}\nError: (none)\nExit Code: 0\n");
        let shown = saves("curl x", &text, 40);
        assert!(shown.starts_with("Command: curl x\nDirectory: (root)\nOutput: "), "{shown}");
        assert!(shown.contains("60 rows") && !shown.contains("cut off"), "{shown}");
        assert!(shown.ends_with("\nError: (none)\nExit Code: 0\n"), "{shown}");
    }
    let text = format!(
        "started\nDEBUG body=[\n{}\n]\nstopped\n",
        lines(60, |n| format!(
            "  {{\n    \"id\": {n},\n    \"name\": \"task {n}\"\n  }}{}",
            if n < 59 { "," } else { "" }
        ))
        .trim_end()
    );
    let (shown, ..) = form("./run", &text, Profile::Lossless);
    assert!(!shown.contains("cut off"), "{shown}");
}

#[test]
fn configuration_plans_and_linters_are_shown_in_their_own_lines() {
    let yaml = lines(40, |n| format!("- name: web-{n}\n  memory: {}", if n == 13 { "2Mi" } else { "256Mi" }));
    assert!(form("kubectl get x -o yaml", &yaml, Profile::Balanced).0.contains("\n  memory: 2Mi\n"));
    let plan = lines(20, |n| {
        format!(
            "  # aws_instance.web[{n}] will be created\n  + resource \"aws_instance\" \"web\" {{\n      + ami           = (known after apply)\n      + instance_type = \"{}\"\n    }}",
            if n == 7 { "m5.24xlarge" } else { "t3.micro" }
        )
    }) + "Plan: 20 to add, 0 to change, 0 to destroy.\n";
    let (shown, before, after) = form("terraform plan", &plan, Profile::Balanced);
    assert!(
        shown.contains("instance_type = \"m5.24xlarge\"") && shown.contains("Plan: 20 to add"),
        "{shown}"
    );
    assert!(after <= before);
    let linter =
        lines(60, |n| format!("app/models/m{n}.rb:{n}:1: W: Metrics/LineLength: Line is too long. [81/80]"));
    let (shown, ..) = form("rubocop", &linter, Profile::Balanced);
    assert!(shown.contains("1: W: Metrics/LineLength: Line is too long. [81/80]"), "{shown}");
}

#[test]
fn encoded_data_and_packed_programs_are_shortened_where_they_can_be_had_back() {
    let signs = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 7_u32;
    let blob: String = (0..8000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(signs[(state >> 26) as usize])
        })
        .collect();
    let script: String = (0..900).map(|n| format!("function f{n}(a,b){{return a+b*{n}}}")).collect();
    for (command, text) in [
        ("base64 -w0 a.png", blob.clone()),
        ("cat page.html.part", format!("logo: {blob}\nname: x\n")),
        ("curl https://example.com/a.min.js", format!("!function(){{{script}}}();\n")),
    ] {
        let (shown, before, after) = form(command, &text, Profile::Balanced);
        assert!(after * 5 < before, "{command}: {before} -> {after}");
        assert!(shown.contains("headroom_retrieve hash="), "{shown}");
        let (whole, ..) = form(command, &text, Profile::Lossless);
        assert_eq!(whole, text, "nothing is left out without loss");
    }
}
