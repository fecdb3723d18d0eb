//! Reading a table into cells.

/// One row: the number of its line, and its cells.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub(super) line: usize,
    pub(super) cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    pub(super) fn cell(&self, column: usize) -> &'a str {
        self.cells.get(column).copied().unwrap_or_default()
    }
}

/// How cells are separated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// By at least two blanks, under a header that shows where the columns are.
    Aligned,
    /// By one or more blanks; only the last column may contain blanks.
    Words,
    /// By a delimiter, which does not count between two quotes.
    Delimited(char),
    /// By pipes.
    Pipes,
}

/// A table inside a text. Lines that are neither its header nor a row do not belong to it.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    pub(super) layout: Layout,
    /// The first line of the table. If it does not name the columns, it is the first row.
    pub(super) header: Row<'a>,
    /// Whether the header surely names the columns.
    pub(super) titled: bool,
    /// The rows after the header.
    pub(super) rows: Vec<Row<'a>>,
}

/// The header is one of this many lines.
const HEADER_WITHIN: usize = 4;

/// The same for columns of single words: `top` has six lines above it.
const WORDS_WITHIN: usize = 10;

/// Titles of two words, from `ss`, `netstat`, `docker` and `df`.
const TITLES: &[&str] = &[
    "Local Address:Port",
    "Peer Address:Port",
    "Local Address",
    "Foreign Address",
    "Mounted on",
    "CONTAINER ID",
    "IMAGE ID",
    "NOMINATED NODE",
    "READINESS GATES",
];

/// The layout has to fit this percentage of the lines after the header.
const ROWS_PERCENT: usize = 80;

const FEWEST_ROWS: usize = 4;
const FEWEST_COLUMNS: usize = 2;

/// A table has at most this many columns.
const MOST_COLUMNS: usize = 200;

/// Rows that leave out their last cells may have so many more cells than bytes.
const MORE_CELLS: usize = 1 << 16;

impl<'a> Table<'a> {
    /// The table to which most of the lines belong.
    pub(super) fn read(lines: &[&'a str]) -> Option<Self> {
        // Each layout is tried on all lines.
        crate::work::spend(5 * lines.iter().map(|line| line.len() + 1).sum::<usize>());
        [',', '\t', ';']
            .into_iter()
            .find_map(|delimiter| Self::delimited(lines, delimiter))
            .or_else(|| Self::ruled(lines))
            .or_else(|| Self::aligned(lines))
            .or_else(|| Self::words(lines))
    }

    pub(super) fn width(&self) -> usize {
        self.header.cells.len()
    }

    pub(super) fn header_cell(&self, column: usize) -> &'a str {
        self.header.cell(column).trim()
    }

    /// `None` if too few lines are rows for a table.
    pub(super) fn of(layout: Layout, header: Row<'a>, rows: Vec<Row<'a>>, lines: usize) -> Option<Self> {
        let behind = lines - header.line - 1;
        let width = header.cells.len();
        let enough = rows.len() >= FEWEST_ROWS && rows.len() * 100 >= behind * ROWS_PERCENT;
        let titled = is_title(&header, &rows);
        let table = Self { layout, header, titled, rows };
        (enough && (FEWEST_COLUMNS..=MOST_COLUMNS).contains(&width)).then_some(table)
    }

    /// The name of a column: its title, or its number if it has no unique title.
    pub(super) fn name(&self, column: usize) -> String {
        let title = self.header_cell(column);
        let same = (0..self.width()).filter(|other| self.header_cell(*other) == title).count();
        if self.titled && !title.is_empty() && same == 1 {
            return title.to_owned();
        }
        format!("column {}", column + 1)
    }

    fn delimited(lines: &[&'a str], delimiter: char) -> Option<Self> {
        let header = Row { line: 0, cells: split(lines.first()?, delimiter) };
        let width = header.cells.len();
        if width < FEWEST_COLUMNS || header.cells.iter().any(|cell| cell.len() > 60) {
            return None;
        }
        let mut rows = Vec::new();
        for (line, text) in lines.iter().enumerate().skip(1) {
            let cells = split(text, delimiter);
            if cells.len() == width && !is_rule(text) {
                rows.push(Row { line, cells });
            } else if line - rows.len() > 2 + line / 5 {
                return None;
            }
        }
        Self::of(Layout::Delimited(delimiter), header, rows, lines.len())
    }

    /// Uses the first line that names the columns. If there is none, uses the first line of all, unless a
    /// line before the rows seems to name columns that are separated differently.
    fn aligned(lines: &[&'a str]) -> Option<Self> {
        let within = lines.len().min(HEADER_WITHIN);
        let titled =
            (0..within).filter_map(|line| Self::aligned_under(lines, line)).find(|table| table.titled);
        let other = || lines.get(..within).unwrap_or_default().iter().any(|line| is_capital(line));
        titled.or_else(|| if other() { None } else { Self::aligned_under(lines, 0) })
    }

    fn aligned_under(lines: &[&'a str], header: usize) -> Option<Self> {
        let columns = fields(lines.get(header)?);
        if columns.len() < FEWEST_COLUMNS || columns.len() > MOST_COLUMNS {
            return None;
        }
        let mut rows = Vec::new();
        let mut room = MORE_CELLS;
        for (line, text) in lines.iter().enumerate().skip(header + 1) {
            if let Some(cells) = under(text, &columns).filter(|_| !is_rule(text)) {
                room = (room + text.len()).checked_sub(cells.len())?;
                rows.push(Row { line, cells });
            } else if line - header - rows.len() > 2 + (line - header) / 5 {
                return None;
            }
        }
        let cells = columns.iter().map(|field| field.text).collect();
        Self::of(Layout::Aligned, Row { line: header, cells }, rows, lines.len())
    }

    /// A table whose columns are single words, except the last one.
    fn words(lines: &[&'a str]) -> Option<Self> {
        (0..lines.len().min(WORDS_WITHIN)).find_map(|header| Self::words_under(lines, header))
    }

    fn words_under(lines: &[&'a str], header: usize) -> Option<Self> {
        let titles = titles(lines.get(header)?)?;
        let width = titles.len();
        if !(3..=MOST_COLUMNS).contains(&width) {
            return None;
        }
        let (mut rows, mut lasts) = (Vec::new(), Vec::new());
        // How many rows have a cell under its title.
        let mut under = vec![0; width];
        for (line, text) in lines.iter().enumerate().skip(header + 1).filter(|(_, text)| !is_rule(text)) {
            let Some(fields) = word_cells(text, width) else { continue };
            let stands =
                |(field, title): (&Field<'_>, &Field<'_>)| field.start < title.end && title.start < field.end;
            for ((field, title), under) in fields.iter().zip(&titles).zip(&mut under) {
                *under += usize::from(stands((field, title)));
            }
            let mut cells: Vec<&str> = fields.iter().map(|field| field.text).collect();
            if fields.len() < width {
                // The last cell is missing, if it cannot be another one that is missing.
                if fields.len() + 1 < width || !fields.iter().zip(&titles).all(stands) {
                    continue;
                }
                cells.push("");
            }
            lasts.push(fields.get(width - 1).map(|field| field.start));
            rows.push(Row { line, cells });
        }
        // What indents the cells of the last column: `ps` shows by it which process has started which.
        let least = lasts.iter().flatten().min().copied().unwrap_or_default();
        for (row, start) in rows.iter_mut().zip(&lasts) {
            let line = lines.get(row.line).copied().unwrap_or_default().trim_end_matches(' ');
            let (Some(cell), Some(start)) = (row.cells.last_mut(), start) else { continue };
            let before = line.get(..*start).unwrap_or_default().trim_end_matches(' ').len();
            *cell = line.get(least.max(before + 1)..).unwrap_or_default();
        }
        // With unknown titles of two words, each column would get the name of another.
        let (_, columns) = under.split_last()?;
        if columns.iter().any(|under| under * 2 <= rows.len()) {
            return None;
        }
        // Otherwise there is no padding to remove.
        let padded = rows.iter().any(|row| lines.get(row.line).is_some_and(|line| line.contains("  ")));
        let cells = titles.iter().map(|title| title.text).collect();
        padded.then(|| Self::of(Layout::Words, Row { line: header, cells }, rows, lines.len())).flatten()
    }

    /// `dpkg -l`: a line of signs shows where the columns begin, and the line above it has their titles.
    fn ruled(lines: &[&'a str]) -> Option<Self> {
        let rule = lines.iter().take(WORDS_WITHIN).position(|line| is_column_rule(line))?;
        let starts: Vec<usize> = std::iter::once(0)
            .chain(memchr::memchr_iter(b'-', lines.get(rule)?.as_bytes()).map(|at| at + 1))
            .collect();
        let header = rule.checked_sub(1)?;
        let cells = cells_at(lines.get(header)?, &starts)?;
        let rows = lines.iter().enumerate().skip(rule + 1);
        let rows =
            rows.filter_map(|(line, text)| Some(Row { line, cells: cells_at(text, &starts)? })).collect();
        let table = Self::of(Layout::Words, Row { line: header, cells }, rows, lines.len())?;
        Some(Self { titled: true, ..table })
    }
}

/// `+++-=====-=======`: the line under the titles of `dpkg -l`.
pub(super) fn is_column_rule(line: &str) -> bool {
    line.starts_with("+++-=") && line.bytes().all(|b| matches!(b, b'+' | b'-' | b'='))
}

/// The cells of a line whose columns begin at these bytes, each after a blank.
fn cells_at<'a>(line: &'a str, starts: &[usize]) -> Option<Vec<&'a str>> {
    if line.trim().is_empty() {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([line.len()]);
    let mut cells = Vec::with_capacity(starts.len());
    for (n, (start, end)) in starts.iter().zip(ends).enumerate() {
        let cell = line.get(*start..end)?;
        let last = n + 1 == starts.len();
        cells.push(match last {
            true => cell,
            false => cell.strip_suffix(' ')?.trim_end_matches(' '),
        });
    }
    cells.iter().all(|cell| !cell.starts_with(' ')).then_some(cells)
}

/// The titles of a header whose columns are words: each begins like a title, and the header is in capitals or
/// has a known title of two words.
fn titles(line: &str) -> Option<Vec<Field<'_>>> {
    let known = TITLES.iter().any(|title| line.contains(title));
    if !known && !is_capital(line) {
        return None;
    }
    let mut titles = Vec::new();
    let mut at = 0;
    while let Some(rest) = line.get(at..) {
        let start = at + rest.len() - rest.trim_start_matches(' ').len();
        let rest = line.get(start..).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else { break };
        let two = TITLES.iter().find(|title| rest.starts_with(**title)).map(|title| title.len());
        let end = start + two.unwrap_or_else(|| rest.find(' ').unwrap_or(rest.len()));
        titles.push(Field { start, end, text: line.get(start..end)? });
        at = end;
    }
    let is_title =
        |title: &Field<'_>| !title.text.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit());
    titles.iter().all(is_title).then_some(titles)
}

/// Whether a header names the columns above these rows: no name is empty, a number, or a value of its own
/// column; and the header is in capitals, or a column of numbers has a name.
fn is_title(header: &Row<'_>, rows: &[Row<'_>]) -> bool {
    let names = || header.cells.iter().map(|cell| cell.trim().trim_matches('"'));
    let is_name = |name: &str| name.bytes().any(|b| b.is_ascii_alphabetic()) && !name.contains([':', '=']);
    let capitals = names().all(|name| !name.bytes().any(|b| b.is_ascii_lowercase()));
    // The index of a data frame has no name.
    if !names().skip(1).all(is_name) || !names().all(|name| name.is_empty() || is_name(name)) {
        return false;
    }
    let mut numbers = false;
    for (column, name) in names().enumerate() {
        // `S` above states is both a title and a state.
        if name.len() > 1 && rows.iter().any(|row| row.cell(column).trim().trim_matches('"') == name) {
            return false;
        }
        numbers |= rows.iter().all(|row| {
            let cell = row.cell(column);
            cell.bytes().any(|b| b.is_ascii_digit()) && !cell.bytes().any(|b| b.is_ascii_alphabetic())
        });
    }
    numbers || capitals
}

/// `USER PID %CPU`: words in capitals, as in a header.
fn is_capital(line: &str) -> bool {
    line.split_ascii_whitespace().count() > 1
        && line.bytes().any(|b| b.is_ascii_uppercase())
        && !line.bytes().any(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// `-----  ---`, `====`: a line between the header and the rows.
fn is_rule(line: &str) -> bool {
    let bare = line.trim();
    !bare.is_empty()
        && bare.bytes().all(|b| matches!(b, b'-' | b'=' | b'+' | b'|' | b' ' | b'\t' | b','))
        && bare.contains(['-', '='])
}

/// The cells of a line of CSV, with their quotes.
fn split(line: &str, delimiter: char) -> Vec<&str> {
    let mut cells = Vec::new();
    let (mut from, mut quoted) = (0, false);
    for (at, c) in line.char_indices() {
        if c == '"' {
            quoted = !quoted;
        } else if c == delimiter && !quoted {
            cells.push(line.get(from..at).unwrap_or_default());
            from = at + c.len_utf8();
        }
    }
    cells.push(line.get(from..).unwrap_or_default());
    cells
}

/// The first `width - 1` words of a line and its rest, if there are enough; positions are in bytes.
fn word_cells(line: &str, width: usize) -> Option<Vec<Field<'_>>> {
    let mut cells = Vec::with_capacity(width);
    let line = line.trim_end_matches(' ');
    let mut start = line.len() - line.trim_start_matches(' ').len();
    while cells.len() < width {
        let rest = line.get(start..).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else { break };
        let last = cells.len() + 1 == width;
        let end = start + rest.find(' ').filter(|_| !last).unwrap_or(rest.len());
        cells.push(Field { start, end, text: line.get(start..end)? });
        let rest = line.get(end..)?;
        start = end + rest.len() - rest.trim_start_matches(' ').len();
    }
    (!cells.is_empty()).then_some(cells)
}

/// A cell of an aligned line: its start and end, in characters.
struct Field<'a> {
    start: usize,
    end: usize,
    text: &'a str,
}

/// The parts of a line that are separated by two or more blanks.
fn fields(line: &str) -> Vec<Field<'_>> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    let mut blanks = 0;
    // The end of the last character that is not a blank, in bytes and characters.
    let mut end = (0, 0);
    for (column, (at, c)) in line.char_indices().enumerate() {
        if c == ' ' {
            blanks += 1;
            continue;
        }
        if blanks >= 2
            && let Some((from, start)) = open.take()
        {
            fields.push(Field { start, end: end.1, text: line.get(from..end.0).unwrap_or_default() });
        }
        if open.is_none() {
            open = Some((at, column));
        }
        blanks = 0;
        end = (at + c.len_utf8(), column + 1);
    }
    if let Some((from, start)) = open {
        fields.push(Field { start, end: end.1, text: line.get(from..end.0).unwrap_or_default() });
    }
    fields
}

/// The cells of a line under the given columns; a cell starts or ends where its column does. The first one
/// may be indented, and keeps its indentation.
fn under<'a>(line: &'a str, columns: &[Field<'_>]) -> Option<Vec<&'a str>> {
    let found = fields(line);
    let first = found.first()?;
    let mut cells = vec![""; columns.len()];
    let mut next = 0;
    for field in &found {
        let column = (next..columns.len())
            .find(|&c| columns.get(c).is_some_and(|c| c.start == field.start || c.end == field.end))
            .or_else(|| {
                let indented = next == 0 && columns.get(1).is_none_or(|second| field.start < second.start);
                (indented && std::ptr::eq(field, first)).then_some(0)
            })?;
        next = column + 1;
        let mut rest = field.text;
        let mut start = field.start;
        // A cell one blank before the next one does not belong to it.
        while let Some(border) =
            columns.get(next).map(|c| c.start).filter(|border| (start + 1..field.end).contains(border))
        {
            let at = rest.char_indices().nth(border - start)?.0;
            let (cell, behind) = rest.split_at_checked(at)?;
            *cells.get_mut(next - 1)? = cell.strip_suffix(' ')?.trim_end_matches(' ');
            (rest, start) = (behind, border);
            next += 1;
        }
        *cells.get_mut(next - 1)? = rest;
    }
    if let Some(first) = cells.first_mut().filter(|first| !first.is_empty()) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        *first = line.get(..indent + first.len()).unwrap_or_default();
    }
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_columns_are_found_left_and_right_and_empty() {
        let lines = [
            "Package       Version",
            "------------- -------",
            "abc-def-ghijk 1.0",
            "a             2.0",
            "b             3.0",
            "c             4.0",
        ];
        let table = Table::read(&lines).expect("a table");
        assert_eq!(table.rows[0].cells, ["abc-def-ghijk", "1.0"]);
        let last = |day: usize| format!("deploy   pts/0   Sat Nov {day:2} 10:0{} - 11:00  (01:00)", day % 10);
        let lines: Vec<String> = (1..30).map(last).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(Table::aligned(&lines).is_none());
    }

    #[test]
    fn lines_that_have_few_of_many_columns_are_no_rows_of_a_long_table() {
        let table = |lines: usize| {
            let text = format!("NNNNNNNNNN{}{}", "  A".repeat(199), "\nz1".repeat(lines));
            Table::aligned(&text.lines().collect::<Vec<_>>()).is_some()
        };
        assert!(table(300));
        assert!(!table(600));
    }

    #[test]
    fn quoted_delimiters_are_no_delimiters() {
        let lines = ["a,b", "\"x,y\",1", "2,3", "4,5", "6,7"];
        let table = Table::read(&lines).expect("a table");
        assert_eq!(table.rows[0].cells, ["\"x,y\"", "1"]);
    }

    #[test]
    fn words_are_columns_and_the_last_takes_the_rest() {
        let lines = [
            "USER  PID %CPU COMMAND",
            "root    1  0.1 a b  c",
            "root   22  0.1 d",
            "x       3    1 e",
            "y       4    2 f",
        ];
        let table = Table::read(&lines).expect("a table");
        assert_eq!(table.rows[0].cells, ["root", "1", "0.1", "a b  c"]);
    }

    #[test]
    fn what_indents_the_last_cell_belongs_to_it() {
        let lines = [
            "USER  PID %CPU COMMAND",
            "root    1  0.1 init",
            "root   22  0.1   \\_ sshd -D",
            "www   133  0.1       \\_ bash",
            "root    4 10.12 cron",
            "root    5  0.1 a  b",
        ];
        let table = Table::read(&lines).expect("a table");
        let last: Vec<&str> = table.rows.iter().map(|row| row.cell(3)).collect();
        assert_eq!(last, ["init", "  \\_ sshd -D", "      \\_ bash", "cron", "a  b"]);
    }

    #[test]
    fn words_that_do_not_stand_under_their_titles_are_no_columns() {
        let lines = [
            "APP ID   BORN ON       STATE",
            "7b88     2 days ago    up",
            "9c11     3 days ago    up",
            "0d22     4 days ago    up",
            "1e33     5 days ago    up",
        ];
        let table = Table::words(&lines.map(|line| line));
        assert!(table.is_none(), "{table:?}");
    }

    #[test]
    fn sockets_and_processes_have_the_columns_of_their_titles() {
        let lines = [
            "State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess",
            "LISTEN 0      128          0.0.0.0:22         0.0.0.0:*    users:((\"sshd\",pid=7,fd=3))",
            "LISTEN 0      128        127.0.0.1:8080       0.0.0.0:*   ",
            "ESTAB  0      0           10.0.0.1:22        10.0.0.9:5000 ",
            "ESTAB  0      0           10.0.0.1:22        10.0.0.9:5001 ",
        ];
        let table = Table::read(&lines).expect("a table");
        let titles = ["State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port", "Process"];
        assert_eq!(table.header.cells, titles);
        assert_eq!(table.rows[0].cells[3..], ["0.0.0.0:22", "0.0.0.0:*", "users:((\"sshd\",pid=7,fd=3))"]);
        assert_eq!(table.rows[1].cells[3..], ["127.0.0.1:8080", "0.0.0.0:*", ""]);
        let lines = [
            "top - 10:22:31 up 12 days,  3:02,  2 users,  load average: 0.52, 0.61, 0.70",
            "Tasks: 213 total,   1 running, 212 sleeping",
            "",
            "    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND",
            "      1 root      20   0   51628  17184   6460 S   0.0   0.1   3:07.50 init",
            "      2 root      20   0       0      0      0 S   0.0   0.0   0:00.01 kthreadd",
            "   1234 www-data  20   0 1234567 123456  12345 S  12.5   1.5  12:00.01 nginx: worker",
            "   1235 www-data  20   0 1234567 123456  12345 S  12.5   1.5  12:00.02 nginx: worker",
        ];
        let table = Table::read(&lines).expect("a table");
        assert_eq!((table.header.line, table.titled), (3, true));
        assert_eq!(table.rows[2].cells.last(), Some(&"nginx: worker"));
    }

    #[test]
    fn packages_have_the_columns_of_their_rule() {
        let lines = [
            "Desired=Unknown/Install/Remove/Purge/Hold",
            "||/ Name    Version  Architecture Description",
            "+++-=======-========-============-==================",
            "ii  adduser 3.134    all          add and remove users",
            "ii  apt     2.6.1    amd64        package  manager",
            "ii  bash    5.2      amd64        ",
            "rc  vim     9.0      amd64        editor",
        ];
        let table = Table::read(&lines).expect("a table");
        assert_eq!(table.header.cells, ["||/", "Name", "Version", "Architecture", "Description"]);
        assert_eq!(table.rows[1].cells, ["ii", "apt", "2.6.1", "amd64", "package  manager"]);
        assert_eq!(table.rows.len(), 4);
    }

    #[test]
    fn prose_is_no_table() {
        assert!(Table::read(&["This is a sentence.", "And  another, with more.", "x", "y", "z"]).is_none());
        assert!(Table::read(&[]).is_none());
        assert!(Table::read(&[""; 20]).is_none());
    }
}
