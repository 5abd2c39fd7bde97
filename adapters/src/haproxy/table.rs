//! The tables that HAProxy answers with, read by the names in their heads: columns come and go between versions.

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// One row of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    table: &'a Table,
    cells: &'a [String],
}

impl Table {
    /// What `show servers state` answers: the version of its form, then cells between spaces.
    pub(super) fn of_states(text: &str) -> Result<Self, String> {
        let Some(table) = text.strip_prefix("1\n") else { return Err("no table of servers' states".to_owned()) };
        Self::read(table, |line| Some(line.split(' ').map(str::to_owned).collect()))
    }

    /// What `show stat` answers: comma-separated, some of it in quotes.
    pub(super) fn of_figures(text: &str) -> Result<Self, String> {
        Self::read(text, separated)
    }

    fn read(text: &str, cells: impl Fn(&str) -> Option<Vec<String>>) -> Result<Self, String> {
        let mut lines = text.lines();
        let head = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or("a table without a head")?;
        let columns = cells(head).ok_or("a head that cannot be read")?;
        let mut rows = Vec::new();
        for line in lines {
            let row = cells(line).filter(|row| row.len() == columns.len());
            rows.push(row.ok_or_else(|| format!("row {} does not fit the table's head", rows.len() + 1))?);
        }
        Ok(Self { columns, rows })
    }

    /// Its rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { table: self, cells })
    }
}

impl<'a> Row<'a> {
    /// The cell in that column, also an empty one.
    pub(super) fn text(&self, column: &str) -> Result<&'a str, String> {
        let at = self.table.columns.iter().position(|name| name == column);
        let cell = at.and_then(|at| self.cells.get(at)).ok_or_else(|| format!("there is no column {column}"))?;
        Ok(cell)
    }

    /// The number in that column; an empty cell is none.
    pub(super) fn number(&self, column: &str) -> Result<u64, String> {
        let text = self.text(column)?;
        text.parse().map_err(|_| format!("{column} is {:?}", super::quote(text)))
    }
}

/// The cells of a line; `None` when a quote is not closed.
fn separated(line: &str) -> Option<Vec<String>> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                cell.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            character => cell.push(character),
        }
    }
    cells.push(cell);
    (!quoted).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_by_their_columns_wherever_these_stand() {
        let table = Table::of_figures("# svname,last_chk,scur,\na,\"said \"\"no\"\", twice\",3,\nb,,,\n").unwrap();
        let rows: Vec<Row<'_>> = table.rows().collect();
        assert_eq!((rows[0].text("svname"), rows[0].number("scur")), (Ok("a"), Ok(3)));
        assert_eq!(rows[0].text("last_chk"), Ok("said \"no\", twice"));
        assert!(rows[0].text("stot").unwrap_err().contains("no column stot"));
        // An empty cell is no zero.
        assert!(rows[1].number("scur").is_err());
    }

    #[test]
    fn what_is_no_whole_table_is_refused() {
        for text in ["", "a,b\n1,2\n", "# a,b\n1\n", "# a,b\n1,2,3\n", "# a,b\n\"1,2\n"] {
            assert!(Table::of_figures(text).is_err(), "{text}");
        }
        for text in ["2\n# a b\n1 2\n", "# a b\n1 2\n", "1\n", "1\n# a b\n1\n"] {
            assert!(Table::of_states(text).is_err(), "{text}");
        }
        assert_eq!(Table::of_states("1\n# a b\n1 2\n").unwrap().rows().count(), 1);
    }
}
