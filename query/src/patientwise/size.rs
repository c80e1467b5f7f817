//! How large a query is, before anything is made of it. A plan repeats a named subquery wherever it is used, so that a few lines could
//! stand for millions of operators, at the coordinator and at every site.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::{Refused, refused};

/// Words, numbers, texts and signs of a query, with each subquery counted wherever it is used.
const MOST: usize = 10_000;

/// Whether a query is small enough to be looked at.
pub(super) fn check(sql: &str) -> Result<(), Refused> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let Ok(tokens) = tokens else { return refused("the SQL can't be read: a text or a name does not end", "close it") };
    let tokens: Vec<Token> = tokens.into_iter().filter(|t| !matches!(t, Token::Whitespace(_))).collect();
    let too_large = || {
        refused(
            format!("the query has more than {MOST} words and signs, each subquery counted wherever it is used"),
            "use a concept set for long lists, and name fewer subqueries of subqueries",
        )
    };
    if tokens.len() > MOST {
        return too_large();
    }
    let mut rest = tokens.as_slice();
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    if let Some((first, behind)) = rest.split_first()
        && is(first, Keyword::WITH)
    {
        rest = behind;
        while let Some((name, body, behind)) = named(rest) {
            let size = expanded(body, &sizes);
            sizes.insert(name, size);
            rest = match behind.split_first() {
                Some((Token::Comma, more)) => more,
                _ => behind,
            };
        }
    }
    if tokens.iter().filter(|t| is(t, Keyword::WITH)).count() > 1 {
        return refused("WITH stands within the query", "name all subqueries in one WITH at the beginning");
    }
    let whole = sizes.values().fold(expanded(rest, &sizes), |sum, size| sum.saturating_add(*size));
    if whole > MOST { too_large() } else { Ok(()) }
}

fn is(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(w) if w.keyword == keyword && w.quote_style.is_none())
}

/// `name [(columns)] AS (body)` at the beginning, and what is behind it.
fn named(tokens: &[Token]) -> Option<(String, &[Token], &[Token])> {
    let Some((Token::Word(name), mut rest)) = tokens.split_first() else { return None };
    if let Some((Token::LParen, _)) = rest.split_first() {
        rest = within(rest)?.1;
    }
    let (word, rest) = rest.split_first()?;
    if !is(word, Keyword::AS) {
        return None;
    }
    let (body, behind) = within(rest)?;
    Some((name.value.to_lowercase(), body, behind))
}

/// What is between a bracket at the beginning and its other one, and what is behind.
fn within(tokens: &[Token]) -> Option<(&[Token], &[Token])> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (i > 0).then(|| (tokens.get(1..i).unwrap_or_default(), tokens.get(i + 1..).unwrap_or_default()));
        }
    }
    None
}

/// Tokens, with a subquery's for its name.
fn expanded(tokens: &[Token], sizes: &BTreeMap<String, usize>) -> usize {
    let size = |t: &Token| match t {
        Token::Word(w) => sizes.get(&w.value.to_lowercase()).copied().unwrap_or(1),
        _ => 1,
    };
    tokens.iter().fold(0, |sum, t| sum.saturating_add(size(t)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subqueries_count_wherever_they_are_used() {
        let plain = "WITH a AS (SELECT person_key FROM visit), b (k) AS (SELECT person_key FROM a) SELECT k FROM b";
        assert!(check(plain).is_ok());
        let mut sql = "WITH a0 AS (SELECT person_key FROM visit)".to_owned();
        for i in 1..14 {
            let before = i - 1;
            sql += &format!(
                ", A{i} AS (SELECT x.person_key FROM a{before} x JOIN a{before} y ON x.person_key = y.person_key)"
            );
        }
        sql += " SELECT person_key FROM a13";
        assert!(check(&sql).unwrap_err().message.contains("wherever it is used"));
        let within = "SELECT person_key FROM (WITH a AS (SELECT person_key FROM visit) SELECT * FROM a) q, (WITH b AS (SELECT 1) SELECT 1) r";
        assert!(check(within).unwrap_err().message.contains("within"));
        assert!(check(&format!("SELECT 1{}", " + 1".repeat(6_000))).is_err());
        assert!(check("SELECT 'a").is_err());
    }
}
