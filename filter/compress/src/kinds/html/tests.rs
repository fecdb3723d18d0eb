//! Markup as text, valid and broken.

use crate::work;

/// With a work budget of its own for each block: as WASM the tests share one thread, and so one count.
fn text_of(html: &str) -> String {
    work::start(html.len());
    super::render::text_of(html)
}

#[test]
fn structure_stays_and_scripts_go() {
    let html = "<!DOCTYPE html><html><head><title>A page</title><style>p{}</style><script>if (a<b) x(\"</p>\");</script></head>\
        <body><h1>Top</h1><p>Some <b>bold</b>\n  text&nbsp;&amp; <a href=\"/x?a=1&amp;b=2\">a link</a>, <a href='/x?a=1&amp;b=2'>again</a>, <a href=\"#y\">here</a>.</p>\
        <ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul><ol><li>a<li>b</ol>\
        <pre><code>let x = 1;\n  if x &lt; 2 {}\n</code></pre><p>Use <code>run()</code> now.\
        <table><tr><th>k</th><th>v</th></tr><tr><td><p>a</p></td><td>1</td></tr></table><img alt=\"a cat\" src=c.png><!-- no --></body></html>";
    assert_eq!(
        text_of(html).trim(),
        "A page\n# Top\nSome bold text & [a link](/x?a=1&b=2), again, here.\n- one\n  - inner\n- two\n1. a\n2. b\n```\nlet x = 1;\n  if x < 2 {}\n```\nUse `run()` now.\nk | v\na | 1\na cat"
    );
}

#[test]
fn numbers_mean_what_they_meant() {
    assert_eq!(
        text_of("Mass 10<sup>6</sup> kg<sup>2</sup>, H<sub>2</sub>O<sup>[<a href=\"#c\">1</a>]</sup>").trim(),
        "Mass 10^6 kg^2, H_2O^([1])"
    );
    assert_eq!(
        text_of("<del>Due 30 May</del><ins>Due 6 June</ins>, <s>9</s> 8").trim(),
        "[deleted: Due 30 May][inserted: Due 6 June], [deleted: 9] 8"
    );
    assert_eq!(text_of("<span>12</span><span>34</span><b>5</b>, <i>a</i>b").trim(), "12 34 5, ab");
}

#[test]
fn cells_stand_under_their_columns() {
    let html = "<table><tr><th>No.</th><th>Who</th><th>Sum</th></tr><tr><td colspan=\"2\">Total</td><td>9</td></tr>\
        <tr><td rowspan=2>EU</td><td>a<br>b</td><td>1</td></tr><tr><td>c</td><td></td></tr><tr><td></td><td>d</td><td>2</td></tr></table>x";
    assert_eq!(text_of(html), "No. | Who | Sum\nTotal | | 9\nEU | a b | 1\nEU | c |\n | d | 2\nx");
}

#[test]
fn cells_in_many_columns_and_rows_do_not_make_a_page_longer_than_it_is() {
    let rows = "<tr><td rowspan=1000 colspan=64>".to_owned() + &"<tr><td>".repeat(999);
    for page in [rows.repeat(3), "<td colspan=64>".repeat(999)] {
        crate::work::start(page.len());
        assert!(text_of(&page).len() <= 2 * page.len());
        assert!(crate::work::is_over(), "its columns would be wrong");
    }
    crate::work::unlimited();
}

#[test]
fn a_cell_whose_text_has_no_room_in_the_rows_below_still_has_its_column() {
    let first = format!("<tr><td>k0</td><td rowspan=400>{}</td><td>v0</td></tr>", "x".repeat(100));
    let rows: String = (1..400).map(|n| format!("<tr><td>k{n}</td><td>v{n}</td></tr>")).collect();
    let text = text_of(&format!("<table>{first}{rows}</table>"));
    assert!(text.lines().all(|line| line.matches('|').count() == 2), "{text}");
    assert!(text.trim_end().ends_with("k399 | | v399"), "{text}");
}

#[test]
fn what_attributes_say_is_shown() {
    let html = "<form><input name=q value='A-1009'><input type=checkbox name=f value=1 checked><input type=hidden name=t value=x&amp;y>\
        <select name=s><option>All<option selected>Open<option value=9>Void</select><button disabled>Go</button></form>\
        <span class=dot title=\"failed\"></span> <abbr title=\"Ministry of Silly Walks\">MSW</abbr> <a href=/d title=Delete><i class=x></i></a>\
        <time datetime=2026-05-06>yesterday</time> <meter value=7 max=10></meter> <svg><title>Passed</title><path d=1></svg>";
    assert_eq!(
        text_of(html).trim(),
        "[q=A-1009] [x] f=1 [t=x&y] [field s]\nAll\n[selected] Open\n[9] Void [disabled] Go\n[failed] [Ministry of Silly Walks] MSW [[Delete]](/d) [2026-05-06] yesterday [7 of 10] [Passed]"
    );
}

#[test]
fn values_of_elements_side_by_side_stay_apart() {
    assert_eq!(text_of("$ 5<small>99</small> was $ 7<small>49</small>"), "$ 5 99 was $ 7 49");
    assert_eq!(
        text_of(
            "<label>Qty</label><output>12</output><label>Max</label><output>40</output> <tt>9</tt><tt>8</tt>"
        ),
        "Qty 12 Max 40 9 8"
    );
    assert_eq!(text_of("H<sub>2</sub>O 123<wbr>456 <i>a</i>b"), "H_2O 123456 ab");
}

#[test]
fn formulas_keep_what_tells_a_fraction_from_a_number() {
    assert_eq!(
        text_of(
            "<math><msup><mn>10</mn><mn>6</mn></msup></math> kg, 1<math alttext='\\tfrac{3}{4}'><mfrac><mn>3</mn><mn>4</mn></mfrac></math>"
        ),
        "<math><msup><mn>10</mn><mn>6</mn></msup></math> kg, 1 `\\tfrac{3}{4}`"
    );
}

#[test]
fn items_have_the_numbers_that_a_browser_shows() {
    assert_eq!(
        text_of("<ol><li value=1>Gold<li value=2>A<li value=2>B<li value=4>Last<li>x</ol>"),
        "1. Gold\n2. A\n2. B\n4. Last\n5. x\n"
    );
    assert_eq!(text_of("<ol start=3 reversed><li>c<li>b</ol><ol reversed><li>c</ol>"), "3. c\n2. b\n- c\n");
    assert_eq!(text_of("<ol type=a><li>x<li>y</ol><ol type=I start=4><li>z</ol>"), "a. x\nb. y\nIV. z\n");
    assert_eq!(text_of("<ol start=-2><li>x<li value=9999999999999999999>y</ol>"), "-2. x\n-1. y\n");
}

#[test]
fn states_that_stand_in_attributes_alone_are_shown() {
    let html = "<table><tr><th>Check<th>State<tr><td>unit<td><i class='fa fa-times text-danger'></i><tr><td>lint<td><img src='/icons/failed.svg?v=2'>\
        <tr><td>a | b<td data-status=failed>job</table>";
    assert_eq!(
        text_of(html),
        "Check | State\nunit | [fa fa-times text-danger]\nlint | [failed.svg]\na \\| b | [failed] job\n"
    );
    let html = "<span role=checkbox aria-checked=true></span> 2FA <span role=checkbox aria-checked=false></span> Logs \
        <div role=progressbar aria-valuenow=37 aria-valuemax=100></div>";
    assert_eq!(text_of(html).trim(), "[x] 2FA [ ] Logs\n[37 of 100]");
}

#[test]
fn what_a_page_hides_is_called_hidden() {
    assert_eq!(
        text_of(
            "Balance <span style='display: none'>9,999.00</span><span>120.00</span> EUR<div hidden>Your <div>account</div> is locked</div>x"
        ),
        "Balance [hidden: 9,999.00] 120.00 EUR\n[hidden: Your\naccount\nis locked]\nx"
    );
}

#[test]
fn xml_stays_whole() {
    let row = "<testcase classname=\"a.B\" name=\"c\" time=\"0.1\"><failure message=\"x\">at y</failure></testcase>\n";
    let xml = format!(
        "<?xml version=\"1.0\"?>\n<testsuite tests=\"90\" failures=\"90\">\n{}</testsuite>\n",
        row.repeat(90)
    );
    assert!(!super::is_html(&xml));
    assert!(super::is_html("<div class=x><p>a</p><my-tag>b</my-tag></div>"));
    assert!(!super::is_html("no markup") && !super::is_html(""));
}

#[test]
fn broken_markup_loses_no_text() {
    assert_eq!(text_of("a < b and c > d <1>").trim(), "a < b and c > d <1>");
    assert_eq!(text_of("x <a href=\"unclosed>y</a> z").trim(), "x [y](unclosed) z");
    assert_eq!(text_of("</p></ul></a></pre>x").trim(), "```\nx");
    assert_eq!(text_of("<script>never closed").trim(), "");
    assert_eq!(text_of("").trim(), "");
}

#[test]
fn the_cost_of_hostile_markup_is_linear() {
    for unit in [
        "<a href=\"",
        "<",
        "<!--",
        "&",
        "<script>",
        "</script",
        "<li>",
        "<a>",
        "<td",
        "<td rowspan=9 colspan=9>ab",
        "<tr><td rowspan=9>x",
        "<sup>",
        "<del>",
        "</sup>",
        "<span title=a>",
        "<table>",
        "<math>",
        "<div hidden>",
        "<ol reversed><li value=9>",
    ] {
        let html = unit.repeat(200_000 / unit.len());
        assert!(text_of(&html).len() <= html.len() * 20, "{unit}");
    }
}
