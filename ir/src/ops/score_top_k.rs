//! `score_top_k`: the best items of each query by dot product, without those it already has.

use super::*;
use crate::dim::Dim;
use crate::dtype::DType;

/// `(queries [q, d], items [n, d], seen csr [users, n], users i32 [q]) -> (scores [q, k], ids i32 [q, k])`: the `k` items of greatest `queries[i] . items[j]` that row `users[i]` of `seen` does not hold; greatest first, equal scores by lower id, NaN scores never; where there are fewer, id -1 and score -inf. The scores of all items are never stored. Without the last two operands no item is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScoreTopK {
    /// How many.
    pub k: usize,
}

impl OpDef for ScoreTopK {
    fn name(&self) -> &'static str {
        "score_top_k"
    }

    fn attrs(&self) -> Attrs {
        vec![("k", Attr::Int(self.k as i64))]
    }

    fn infer(&self, operands: &[Type]) -> Result<Types, String> {
        let (q, items, seen) = match operands {
            [Type::Tensor(q), Type::Tensor(items)] => (q, items, None),
            [Type::Tensor(q), Type::Tensor(items), Type::Csr(seen), Type::Tensor(users)] => {
                (q, items, Some((seen, users)))
            }
            _ => {
                return Err(format!(
                    "`score_top_k` takes queries, items, and perhaps a CSR pattern and users, {} found",
                    list(operands)
                ));
            }
        };
        if q.rank() != 2
            || items.rank() != 2
            || q.dtype != DType::F32
            || items.dtype != DType::F32
            || seen.is_some_and(|(_, users)| users.dtype != DType::I32 || users.rank() != 1)
        {
            return Err(format!(
                "`score_top_k` takes f32 matrices of queries and items, and i32 users of one axis, {} found",
                list(operands)
            ));
        }
        same_dim("score_top_k", "axis 1 of the queries", &q.shape[1], "that of the items", &items.shape[1])?;
        if let Some((seen, users)) = seen {
            same_dim(
                "score_top_k",
                "axis 0 of the queries",
                &q.shape[0],
                "that of the users",
                &users.shape[0],
            )?;
            same_dim(
                "score_top_k",
                "axis 0 of the items",
                &items.shape[0],
                "the columns of the pattern",
                &seen.cols,
            )?;
        }
        if self.k == 0 {
            return Err("`score_top_k` of 0 items; k must be at least 1".to_owned());
        }
        let shape = || [q.shape[0].clone(), Dim::from(self.k)];
        Ok(Types::from_iter([Type::tensor(DType::F32, shape()), Type::tensor(DType::I32, shape())]))
    }

    fn eval(
        &self,
        operands: &[&Value],
        _: &[Type],
        _: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Vec<Value>, EvalError> {
        let (queries, items) = (values::tensor(operands, 0)?, values::tensor(operands, 1)?);
        let seen = if operands.len() > 2 { Some(values::csr(operands, 2)?) } else { None };
        let users = match seen {
            Some(seen) => values::rows_near("score_top_k", 3, values::tensor(operands, 3)?, seen.rows)?,
            None => vec![],
        };
        let width = values::row_width(queries);
        let (q, v) = (queries.to_f64(), items.to_f64());
        let count = queries.shape()[0];
        let shape = [count, self.k];
        let mut scores = values::filled(Literal::float(DType::F32, f64::NEG_INFINITY), &shape);
        let mut ids = values::filled(Literal::int(DType::I32, -1), &shape);
        for i in 0..count {
            let has = seen.map_or(&[][..], |seen| seen.row(users[i]));
            let mut ranked: Vec<(f64, usize)> = (0..items.shape()[0])
                .filter(|item| has.binary_search(&(*item as i32)).is_err())
                .map(|item| {
                    let dot = (0..width).fold(0.0, |sum, l| sum + q[i * width + l] * v[item * width + l]);
                    (Literal::float(DType::F32, dot).as_f64(), item)
                })
                .filter(|(score, _)| !score.is_nan())
                .collect();
            ranked.sort_by(top_k::greatest_first);
            for (j, (score, item)) in ranked.into_iter().take(self.k).enumerate() {
                scores.set(i * self.k + j, Literal::float(DType::F32, score));
                ids.set(i * self.k + j, Literal::int(DType::I32, item as i64));
            }
        }
        Ok(vec![Value::Tensor(scores), Value::Tensor(ids)])
    }

    fn vjp(&self, _: &mut Vjp<'_>) -> Result<Vec<Option<Operand>>, Nondifferentiable> {
        Err(Nondifferentiable(
            "`score_top_k` ranks all items for evaluation and has no derivative; score the items of a batch with \
             `gather_rows` and products to train on them"
                .to_owned(),
        ))
    }

    fn class(&self) -> Class {
        Class::Opaque
    }

    fn cost(&self, operands: &[Type], results: &[Type]) -> Cost {
        Cost {
            flops: &elements(&operands[0]) * &(&rows_of(&operands[1]) * &2.into()),
            bytes: traffic(operands, results),
        }
    }
}
