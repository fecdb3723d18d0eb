//! Markup as text, whole and broken.

use super::render::text_of;

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
fn broken_markup_loses_no_text() {
    assert_eq!(text_of("a < b and c > d <1>").trim(), "a < b and c > d <1>");
    assert_eq!(text_of("x <a href=\"unclosed>y</a> z").trim(), "x [y](unclosed) z");
    assert_eq!(text_of("</p></ul></a></pre>x").trim(), "```\nx");
    assert_eq!(text_of("<script>never closed").trim(), "");
    assert_eq!(text_of("").trim(), "");
}

#[test]
fn the_cost_of_hostile_markup_is_linear() {
    for unit in ["<a href=\"", "<", "<!--", "&", "<script>", "</script", "<li>", "<a>", "<td"] {
        let html = unit.repeat(200_000 / unit.len());
        assert!(text_of(&html).len() <= html.len() * 20, "{unit}");
    }
}
