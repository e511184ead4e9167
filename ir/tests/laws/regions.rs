//! Regions of images beside loops that say what is read.

use crate::compose::Made;
use latentc_ir::array::Array;
use latentc_ir::compose::regions::RoiAlign;
use latentc_ir::dtype::DType;

const SHAPE: [usize; 4] = [2, 3, 5, 6];

/// Every neighbour of a place `y, x` of a channel, times its weight.
fn neighbours(image: &[f64], y: f64, x: f64) -> [f64; 4] {
    let (h, w) = (SHAPE[2], SHAPE[3]);
    if y < -1.0 || y > h as f64 || x < -1.0 || x > w as f64 {
        return [0.0; 4];
    }
    let (y, x) = (y.clamp(0.0, (h - 1) as f64), x.clamp(0.0, (w - 1) as f64));
    let (top, left) = (y.floor() as usize, x.floor() as usize);
    let (bottom, right) = ((top + 1).min(h - 1), (left + 1).min(w - 1));
    let (dy, dx) = (y - y.floor(), x - x.floor());
    [
        (top, left, 1.0 - dy, 1.0 - dx),
        (top, right, 1.0 - dy, dx),
        (bottom, left, dy, 1.0 - dx),
        (bottom, right, dy, dx),
    ]
    .map(|(i, j, a, b)| image[i * w + j] * a * b)
}

#[test]
fn regions_are_aligned() {
    let rois = [0.3, 0.7, 3.1, 4.2, -4.0, 1.0, 9.0, 3.0, 2.0, 2.0, 2.2, 2.3];
    let which = [0i64, 1, 0];
    for (half_pixel, max) in [(true, false), (false, false), (true, true)] {
        let how = RoiAlign { parts: [2, 3], samples: 2, scale: 0.9, half_pixel, max };
        let mut m = Made::new();
        let x = m.numbers(&SHAPE);
        let corners = m.input(Array::from_f64(DType::F64, &[3, 4], &rois));
        let images = m.ids(&[3], &which);
        let y = m.g.roi_align(x, corners, images, &how).unwrap();
        let all = m.value(x).to_f64();
        let mut expected = vec![];
        for (roi, which) in rois.chunks(4).zip(which) {
            let corner = |i: usize| roi[i] * how.scale - if half_pixel { 0.5 } else { 0.0 };
            let length = |a: f64, b: f64| if half_pixel { b - a } else { (b - a).max(1.0) };
            let (h, w) = (length(corner(1), corner(3)), length(corner(0), corner(2)));
            for channel in all[which as usize * 90..].chunks(30).take(3) {
                for part in 0..6 {
                    let read = (0..4).map(|s| {
                        let [i, j] = [part / 3 * 2 + s / 2, part % 3 * 2 + s % 2].map(|i| i as f64 + 0.5);
                        neighbours(channel, corner(1) + i * h / 4.0, corner(0) + j * w / 6.0)
                    });
                    expected.push(if max {
                        read.flatten().fold(f64::NEG_INFINITY, f64::max)
                    } else {
                        read.flatten().sum::<f64>() / 4.0
                    });
                }
            }
        }
        m.is(y, &[3, 3, 2, 3], &expected);
        m.slopes(y);
        assert!(m.g.roi_align(x, corners, images, &RoiAlign { samples: 0, ..how }).is_err());
        assert!(m.g.roi_align(corners, corners, images, &how).is_err());
    }
}
