//! A list on a page.

/// What a cell's text tells by its colour, too. The text says it as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
}

/// One cell.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
    /// A part of a hundred, to be drawn.
    pub(super) percent: Option<u64>,
}

impl Cell {
    pub(super) const fn class(&self) -> &'static str {
        match self.tone {
            Tone::Plain => "",
            Tone::Good => "good",
            Tone::Bad => "bad",
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A cell that says something is well, or not.
pub(super) fn verdict(good: bool, text: impl Into<String>) -> Cell {
    Cell { text: text.into(), tone: if good { Tone::Good } else { Tone::Bad }, percent: None }
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Numbers stand at the right.
    pub(super) number: bool,
}

/// A table with its heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Distinct on the page; by it the script finds the newer one.
    pub(super) id: &'static str,
    pub(super) heading: String,
    pub(super) intro: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// What stands there when there are no rows.
    pub(super) empty: &'static str,
}

impl Table {
    pub(super) fn new(id: &'static str, heading: &str, empty: &'static str) -> Self {
        Self { id, heading: heading.to_owned(), empty, ..Self::default() }
    }

    pub(super) fn intro(mut self, intro: impl Into<String>) -> Self {
        self.intro = intro.into();
        self
    }

    /// Columns of text.
    pub(super) fn texts<const N: usize>(mut self, titles: [&'static str; N]) -> Self {
        self.columns.extend(titles.map(|title| Column { title, number: false }));
        self
    }

    /// Columns of numbers.
    pub(super) fn numbers<const N: usize>(mut self, titles: [&'static str; N]) -> Self {
        self.columns.extend(titles.map(|title| Column { title, number: true }));
        self
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The cells of a row with their columns.
    pub(super) fn cells<'t>(&'t self, row: &'t [Cell]) -> impl Iterator<Item = (&'t Column, &'t Cell)> {
        self.columns.iter().zip(row)
    }
}
