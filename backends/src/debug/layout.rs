//! Drawings of graphs in layers: every node below those it reads, edges that bend little and cross seldom.
//!
//! The usual steps: ranks by longest path, a point on every rank that an edge passes, an order within ranks by the
//! means of neighbours, and positions that are as near to these as the order and the widths allow (an isotonic
//! regression a rank).

use serde::Serialize;

/// A drawing: boxes by their upper left corners, and edges as paths of SVG.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Drawing {
    /// Width of everything.
    pub width: f64,
    /// Height of everything.
    pub height: f64,
    /// Upper left corner of each node.
    pub at: Vec<(f64, f64)>,
    /// Edges: from, to, and the path.
    pub edges: Vec<(usize, usize, String)>,
}

/// Space between boxes, between ranks, and around the drawing.
const BESIDE: f64 = 22.0;
const BELOW: f64 = 34.0;
const MARGIN: f64 = 16.0;
/// Width that an edge takes where it passes a rank.
const PASSAGE: f64 = 10.0;
/// Points at which edges pass ranks, at most.
const PASSAGES: usize = 100_000;
/// Sweeps over the ranks, for the order and for positions.
const SWEEPS: usize = 10;

/// A box or a passage of an edge.
struct Point {
    rank: usize,
    width: f64,
    /// Those on the rank above and on the rank below that it is joined with.
    above: Vec<usize>,
    below: Vec<usize>,
    /// Centre.
    x: f64,
    passage: bool,
}

/// Draws nodes of the given sizes. Edges run from a node to one that stands later in the list.
pub fn draw(sizes: &[(f64, f64)], edges: &[(usize, usize)]) -> Drawing {
    if sizes.is_empty() {
        return Drawing::default();
    }
    let ranks = ranks(sizes.len(), edges);
    let mut points: Vec<Point> = sizes
        .iter()
        .zip(&ranks)
        .map(|((width, _), rank)| Point {
            rank: *rank,
            width: *width,
            above: vec![],
            below: vec![],
            x: 0.0,
            passage: false,
        })
        .collect();
    let paths = passages(&mut points, edges);
    let layers = order(&mut points, ranks.iter().max().map_or(1, |r| r + 1));
    place(&mut points, &layers);

    let heights: Vec<f64> = (0..layers.len())
        .map(|r| layers[r].iter().filter(|p| **p < sizes.len()).map(|p| sizes[*p].1).fold(0.0, f64::max))
        .collect();
    let mut tops = vec![MARGIN];
    for h in &heights {
        tops.push(tops.last().copied().unwrap_or(0.0) + h + BELOW);
    }
    let left = points.iter().map(|p| p.x - p.width / 2.0).fold(f64::MAX, f64::min);
    points.iter_mut().for_each(|p| p.x += MARGIN - left);
    let right = points.iter().map(|p| p.x + p.width / 2.0).fold(0.0, f64::max);
    let at =
        (0..sizes.len()).map(|i| (round(points[i].x - sizes[i].0 / 2.0), tops[points[i].rank])).collect();
    let edges = edges
        .iter()
        .zip(&paths)
        .filter(|((a, b), _)| a < b)
        .map(|((a, b), path)| (*a, *b, svg(&points, sizes, &tops, &heights, path)))
        .collect();
    Drawing {
        width: round(right + MARGIN),
        height: tops.last().copied().unwrap_or(0.0) - BELOW + MARGIN,
        at,
        edges,
    }
}

fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

/// Longest paths from the top; then what nothing stands above of moves down to its first reader.
fn ranks(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut below: Vec<Vec<usize>> = vec![vec![]; count];
    let mut has_above = vec![false; count];
    for (a, b) in edges.iter().filter(|(a, b)| a < b) {
        below[*a].push(*b);
        has_above[*b] = true;
    }
    let mut ranks = vec![0usize; count];
    for a in 0..count {
        for b in &below[a] {
            ranks[*b] = ranks[*b].max(ranks[a] + 1);
        }
    }
    for a in 0..count {
        if let Some(first) = below[a].iter().map(|b| ranks[*b]).min()
            && !has_above[a]
        {
            ranks[a] = first.saturating_sub(1);
        }
    }
    ranks
}

/// Adds the points at which edges pass ranks; gives the points of every edge, ends included. Where there would be
/// too many, the longest edges go straight to their ends, over whatever stands there.
fn passages(points: &mut Vec<Point>, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let spans = edges.iter().map(|(a, b)| points[*b].rank.saturating_sub(points[*a].rank + 1));
    let mut ascending: Vec<usize> = spans.collect();
    ascending.sort_unstable();
    let mut left = PASSAGES;
    let fits = ascending.iter().take_while(|span| {
        let fits = left >= **span;
        left = left.saturating_sub(**span);
        fits
    });
    let longest = fits.last().copied().unwrap_or(0);
    let mut paths = vec![];
    for (a, b) in edges {
        let mut path = vec![*a];
        let span = points[*b].rank.saturating_sub(points[*a].rank + 1);
        if a < b && span > longest {
            path.push(*b);
        } else if a < b {
            for rank in points[*a].rank + 1..points[*b].rank {
                path.push(points.len());
                points.push(Point {
                    rank,
                    width: PASSAGE,
                    above: vec![],
                    below: vec![],
                    x: 0.0,
                    passage: true,
                });
            }
            path.push(*b);
            for pair in path.windows(2) {
                points[pair[0]].below.push(pair[1]);
                points[pair[1]].above.push(pair[0]);
            }
        }
        paths.push(path);
    }
    paths
}

/// The points of every rank from left to right, with few crossings.
fn order(points: &mut [Point], count: usize) -> Vec<Vec<usize>> {
    let mut layers: Vec<Vec<usize>> = vec![vec![]; count];
    // First as a walk from the top comes by them, so that what belongs together begins together.
    let mut seen = vec![false; points.len()];
    for root in 0..points.len() {
        let mut stack = vec![root];
        while let Some(p) = stack.pop() {
            if std::mem::replace(&mut seen[p], true) {
                continue;
            }
            layers[points[p].rank].push(p);
            stack.extend(points[p].below.iter().rev());
        }
    }
    let mut position = vec![0usize; points.len()];
    let number = |layer: &[usize], position: &mut [usize]| {
        layer.iter().enumerate().for_each(|(i, p)| position[*p] = i);
    };
    layers.iter().for_each(|l| number(l, &mut position));
    let mut best = (crossings(points, &layers, &position), layers.clone());
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        for i in 0..count {
            let rank = if down { i } else { count - 1 - i };
            let mut keyed: Vec<(f64, usize)> = layers[rank]
                .iter()
                .map(|p| {
                    let joined = if down { &points[*p].above } else { &points[*p].below };
                    let mean = joined.iter().map(|q| position[*q] as f64).sum::<f64>() / joined.len() as f64;
                    (if joined.is_empty() { position[*p] as f64 } else { mean }, *p)
                })
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            layers[rank] = keyed.into_iter().map(|(_, p)| p).collect();
            number(&layers[rank], &mut position);
        }
        let now = crossings(points, &layers, &position);
        if now < best.0 {
            best = (now, layers.clone());
        }
    }
    best.1
}

/// Crossings between all ranks: pairs of edges whose ends stand in opposite orders.
fn crossings(points: &[Point], layers: &[Vec<usize>], position: &[usize]) -> u64 {
    let mut total = 0;
    for layer in layers {
        let mut ends: Vec<usize> = vec![];
        for p in layer {
            let mut below: Vec<usize> = points[*p].below.iter().map(|q| position[*q]).collect();
            below.sort_unstable();
            ends.extend(below);
        }
        // Inversions by a tree of counts.
        let size = ends.iter().max().map_or(0, |m| m + 1);
        let mut tree = vec![0u64; size + 1];
        for (seen, end) in ends.iter().enumerate() {
            let (mut i, mut not_right) = (end + 1, 0);
            while i > 0 {
                not_right += tree[i];
                i -= i & i.wrapping_neg();
            }
            total += seen as u64 - not_right;
            let mut i = end + 1;
            while i <= size {
                tree[i] += 1;
                i += i & i.wrapping_neg();
            }
        }
    }
    total
}

/// Centres: every point as near to the mean of its neighbours as the order and the widths allow.
fn place(points: &mut [Point], layers: &[Vec<usize>]) {
    for layer in layers {
        let mut x = 0.0;
        for p in layer {
            x += points[*p].width / 2.0;
            points[*p].x = x;
            x += points[*p].width / 2.0 + BESIDE;
        }
    }
    for sweep in 0..2 * SWEEPS {
        for i in 0..layers.len() {
            let layer = &layers[if sweep % 2 == 0 { i } else { layers.len() - 1 - i }];
            let wanted: Vec<(f64, f64)> = layer
                .iter()
                .map(|p| {
                    let p = &points[*p];
                    let (mut sum, mut weight) = (0.0, 0.0);
                    for q in p.above.iter().chain(&p.below) {
                        // Edges run straight where they pass ranks.
                        let w = if p.passage && points[*q].passage { 8.0 } else { 1.0 };
                        sum += w * points[*q].x;
                        weight += w;
                    }
                    if weight == 0.0 { (p.x, 0.01) } else { (sum / weight, weight) }
                })
                .collect();
            let mut shift = 0.0;
            let gaps: Vec<f64> = layer
                .iter()
                .enumerate()
                .map(|(i, p)| {
                    if i > 0 {
                        let before = &points[layer[i - 1]];
                        let gap = if before.passage && points[*p].passage { 2.0 } else { BESIDE };
                        shift += (before.width + points[*p].width) / 2.0 + gap;
                    }
                    shift
                })
                .collect();
            for ((p, x), gap) in layer.iter().zip(ascending(&wanted, &gaps)).zip(&gaps) {
                points[*p].x = x + gap;
            }
        }
    }
}

/// Ascending numbers with the least weighted squares of distances to what is wanted, less the gaps before each.
fn ascending(wanted: &[(f64, f64)], gaps: &[f64]) -> Vec<f64> {
    // Runs of equal numbers: sum, weight, how many.
    let mut runs: Vec<(f64, f64, usize)> = vec![];
    for ((x, weight), gap) in wanted.iter().zip(gaps) {
        runs.push(((x - gap) * weight, *weight, 1));
        while let [.., a, b] = runs.as_slice() {
            if a.0 / a.1 <= b.0 / b.1 {
                break;
            }
            let joined = (a.0 + b.0, a.1 + b.1, a.2 + b.2);
            runs.truncate(runs.len() - 2);
            runs.push(joined);
        }
    }
    runs.into_iter().flat_map(|(sum, weight, n)| std::iter::repeat_n(sum / weight, n)).collect()
}

/// A path through its points: straight down within ranks, curves between them.
fn svg(points: &[Point], sizes: &[(f64, f64)], tops: &[f64], heights: &[f64], path: &[usize]) -> String {
    use std::fmt::Write as _;
    let (Some(&from), Some(&to)) = (path.first(), path.last()) else { return String::new() };
    let mut x = points[from].x;
    let mut y = tops[points[from].rank] + sizes[from].1;
    let mut text = format!("M{} {}", round(x), round(y));
    for p in &path[1..] {
        let point = &points[*p];
        let (nx, ny) = (point.x, tops[point.rank]);
        if (nx - x).abs() < 0.5 {
            // Joined with what follows, where that goes straight on.
            let _ = write!(text, "V{}", round(ny));
        } else {
            let middle = (ny - y) / 2.0;
            let (a, b) = (round(y + middle), round(ny - middle));
            let _ = write!(text, "C{} {a} {} {b} {} {}", round(x), round(nx), round(nx), round(ny));
        }
        (x, y) = (nx, ny);
        if *p != to {
            y += heights[point.rank];
            let _ = write!(text, "V{}", round(y));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    type Boxes = (Vec<(f64, f64)>, Vec<(usize, usize)>);

    /// A diamond of long and short edges, many times over.
    fn braid(n: usize) -> Boxes {
        let sizes = (0..n).map(|i| (60.0 + (i * 37 % 90) as f64, 30.0 + (i % 3) as f64 * 10.0)).collect();
        let mut edges = vec![];
        for i in 1..n {
            edges.push((i / 2, i));
            edges.push((i - 1 - (i * 7 % i.min(9)), i));
        }
        edges.sort_unstable();
        edges.dedup();
        (sizes, edges)
    }

    #[test]
    fn boxes_do_not_overlap_and_readers_stand_below() {
        let (sizes, edges) = braid(300);
        let d = draw(&sizes, &edges);
        assert_eq!((d.at.len(), d.edges.len()), (sizes.len(), edges.len()));
        let right = |i: usize| d.at[i].0 + sizes[i].0;
        let bottom = |i: usize| d.at[i].1 + sizes[i].1;
        for i in 0..sizes.len() {
            assert!(d.at[i].0 >= 0.0 && right(i) <= d.width && bottom(i) <= d.height, "{i}");
            for j in 0..i {
                let apart = right(i) <= d.at[j].0
                    || right(j) <= d.at[i].0
                    || bottom(i) <= d.at[j].1
                    || bottom(j) <= d.at[i].1;
                assert!(apart, "{i} and {j}");
            }
        }
        for (a, b) in edges {
            assert!(bottom(a) < d.at[b].1, "{a} above {b}");
        }
    }

    #[test]
    fn a_deep_graph_with_long_edges_is_drawn_soon() {
        let n = 6000;
        let mut edges: Vec<(usize, usize)> = (1..n).map(|i| (i - 1, i)).collect();
        edges.extend((0..n / 2).map(|i| (i, n - 1 - i)).filter(|(a, b)| a + 1 < *b));
        let start = std::time::Instant::now();
        let d = draw(&vec![(80.0, 30.0); n], &edges);
        assert_eq!(d.edges.len(), edges.len());
        assert!(d.at.windows(2).all(|w| w[0].1 < w[1].1));
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }

    #[test]
    fn a_chain_is_straight_and_a_tree_has_no_crossings() {
        let d = draw(&[(50.0, 20.0); 5], &[(0, 1), (1, 2), (2, 3), (3, 4)]);
        assert!(d.at.iter().all(|(x, _)| *x == d.at[0].0), "{:?}", d.at);
        assert!(d.edges.iter().all(|(_, _, path)| !path.contains('C')), "{:?}", d.edges);
        let edges: Vec<(usize, usize)> = (1..31).map(|i| ((i - 1) / 2, i)).collect();
        let ranks = ranks(31, &edges);
        let mut points: Vec<Point> = ranks
            .iter()
            .map(|r| Point { rank: *r, width: 1.0, above: vec![], below: vec![], x: 0.0, passage: false })
            .collect();
        passages(&mut points, &edges);
        let layers = order(&mut points, 5);
        let mut position = vec![0; points.len()];
        layers.iter().for_each(|l| l.iter().enumerate().for_each(|(i, p)| position[*p] = i));
        assert_eq!(crossings(&points, &layers, &position), 0);
        assert_eq!(draw(&[], &[]), Drawing::default());
    }
}
