//! Works out sums that a person wrote: `100 × 3 + 50 × 2 = 400`, with `round(…; 2)` half-up and `up(…)` to the next
//! whole number. So the figures of a golden bill are never only what the program gave.

use crate::exact::Ratio;

/// The value on the right of the last `=` of a formula, once all sides were found to be equal.
pub fn check(formula: &str) -> Result<Ratio, String> {
    let sides: Vec<Ratio> = formula.split('=').map(value).collect::<Result<_, _>>()?;
    match sides.windows(2).find(|pair| pair[0] != pair[1]) {
        Some(pair) => Err(format!("{} is not {}", pair[0], pair[1])),
        None if sides.len() < 2 => Err("there is no `=`".to_owned()),
        None => Ok(sides[sides.len() - 1]),
    }
}

fn value(text: &str) -> Result<Ratio, String> {
    let symbols: Vec<char> = text.chars().filter(|it| !it.is_whitespace()).collect();
    let mut rest = Rest { symbols, at: 0 };
    let value = rest.sum()?;
    match rest.next() {
        None => Ok(value),
        Some(other) => Err(format!("`{other}` is not understood in `{text}`")),
    }
}

struct Rest {
    symbols: Vec<char>,
    at: usize,
}

impl Rest {
    fn next(&self) -> Option<char> {
        self.symbols.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.next() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn sum(&mut self) -> Result<Ratio, String> {
        let mut value = self.product()?;
        loop {
            if self.take('+') {
                value = value + self.product()?;
            } else if self.take('−') || self.take('-') {
                value = value - self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<Ratio, String> {
        let mut value = self.factor()?;
        loop {
            if self.take('×') {
                value = value * self.factor()?;
            } else if self.take('/') {
                value = value / self.factor()?;
            } else if self.take('%') {
                value = value / Ratio::HUNDRED;
            } else {
                return Ok(value);
            }
        }
    }

    fn factor(&mut self) -> Result<Ratio, String> {
        if self.take('−') || self.take('-') {
            return Ok(-self.factor()?);
        }
        let word = self.run(char::is_alphabetic);
        if !word.is_empty() || self.next() == Some('(') {
            return self.call(&word);
        }
        let number = self.run(|it| it.is_ascii_digit() || it == '.');
        Ratio::read(&number).ok_or_else(|| format!("`{number}` is no number, before {:?}", self.next()))
    }

    fn call(&mut self, word: &str) -> Result<Ratio, String> {
        let wanted = |done: bool, what: &str| done.then_some(()).ok_or_else(|| format!("{what} is missing"));
        wanted(self.take('('), "`(`")?;
        let value = self.sum()?;
        let value = match word {
            "" => value,
            "up" => Ratio::whole(value.ceil()),
            "round" => {
                wanted(self.take(';'), "`;`")?;
                let places = self.run(|it| it.is_ascii_digit());
                value.rounded(places.parse().map_err(|_| "places are missing".to_owned())?)
            }
            other => return Err(format!("`{other}` is not known")),
        };
        wanted(self.take(')'), "`)`")?;
        Ok(value)
    }

    fn run(&mut self, fits: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(it) = self.next().filter(|it| fits(*it)) {
            word.push(it);
            self.at += 1;
        }
        word
    }
}

/// Protects: a wrong sum in a golden file is found.
#[test]
fn sums_by_hand_are_worked_out() {
    #[rustfmt::skip]
    let table = [
        ("100 × 3 + 50 × 2 = 400",          Ok("400")),
        ("(3 − 1) × 2 / 3 = 4 / 3",         Ok("4/3")),
        ("round(2.345; 2) = 2.35",          Ok("2.35")),
        ("up(20.1 / 10) × 7 = 21",          Ok("21")),
        ("−5 + 10 % × 70 = 2 = 2.00",       Ok("2")),
        ("1 + 1 = 3",                       Err("2 is not 3")),
        ("1 + 1",                           Err("there is no `=`")),
        ("2 & 2 = 4",                       Err("`&` is not understood in `2 & 2 `")),
        ("down(2) = 2",                     Err("`down` is not known")),
    ];
    for (formula, wanted) in table {
        let got = check(formula).map(|it| it.to_string());
        assert_eq!(got, wanted.map(str::to_owned).map_err(str::to_owned), "{formula}");
    }
}
