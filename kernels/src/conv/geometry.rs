//! Where a convolution finds what it multiplies: constants, since sizes and windows are known.
//!
//! Along an axis with a stride of `s` the input, with its zeros around, is divided into `s` phases: phase `f` holds
//! the elements `f, f + s, ..`. Offset `k` of the window then reads, at output position `o`, element
//! `o + k d / s` of phase `k d mod s`: neighbours of the output have neighbours of one plane. A channel is its
//! planes, one for each combination of phases.

use latentc_ir::ops::windows::Window;

/// One axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub size: i64,
    pub kernel: i64,
    pub stride: i64,
    pub dilation: i64,
    pub before: i64,
    /// Positions of the output.
    pub out: i64,
    /// Elements of a plane.
    pub plane: i64,
}

/// All axes.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub axes: Vec<Axis>,
}

impl Geometry {
    /// That of a window over these sizes; `None` where there is no position.
    pub fn new(window: &Window, sizes: &[i64], out: &[i64]) -> Option<Geometry> {
        let axes: Vec<Axis> = (0..sizes.len())
            .map(|a| {
                let (kernel, stride, dilation) = (window.kernel[a], window.stride[a], window.dilation[a]);
                let plane = out[a] + (kernel - 1) * dilation / stride;
                Axis {
                    size: sizes[a],
                    kernel,
                    stride,
                    dilation,
                    before: window.before[a],
                    out: out[a],
                    plane,
                }
            })
            .collect();
        axes.iter().all(|a| a.out > 0 && a.size > 0).then_some(Geometry { axes })
    }

    /// Offsets of the window.
    pub fn taps(&self) -> i64 {
        self.axes.iter().map(|a| a.kernel).product()
    }

    /// Elements of a plane, and planes of a channel.
    pub fn plane(&self) -> i64 {
        self.axes.iter().map(|a| a.plane).product()
    }

    /// See [`Geometry::plane`].
    pub fn phases(&self) -> i64 {
        self.axes.iter().map(|a| a.stride).product()
    }

    /// Elements of a channel.
    pub fn channel(&self) -> i64 {
        self.plane() * self.phases()
    }

    /// Positions of the output.
    pub fn positions(&self) -> i64 {
        self.axes.iter().map(|a| a.out).product()
    }

    /// Whether the input as it stands is its one plane.
    pub fn in_place(&self) -> bool {
        self.axes.iter().all(|a| a.stride == 1 && a.before == 0 && a.plane == a.size)
    }

    /// Elements of a plane from the first position of the output to the last.
    pub fn span(&self) -> i64 {
        1 + self.axes.iter().fold(0, |at, a| at * a.plane + a.out - 1)
    }

    /// Whether these are the positions of the output and no others.
    pub fn is_dense(&self) -> bool {
        self.span() == self.positions()
    }

    /// What an offset of the window adds to a position in a plane: the planes before its own included.
    pub fn tap(&self, offset: i64) -> i64 {
        let (mut rest, mut phase, mut at) = (offset, (0, 1), (0, 1));
        for a in self.axes.iter().rev() {
            let k = rest % a.kernel * a.dilation;
            rest /= a.kernel;
            phase = (phase.0 + k % a.stride * phase.1, phase.1 * a.stride);
            at = (at.0 + k / a.stride * at.1, at.1 * a.plane);
        }
        phase.0 * self.plane() + at.0
    }
}

/// How positions of the output are numbered for a kernel, and how many it takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Along a plane, what lies between the rows of the output included.
    Plane,
    /// As the output has them: columns are whole vectors of rows.
    Output,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_of_a_strided_window() {
        let window = Window::new([3, 3]).with_stride([2, 2]).with_pads([1, 1]);
        let g = Geometry::new(&window, &[8, 8], &[4, 4]).unwrap();
        assert_eq!((g.plane(), g.phases(), g.taps()), (25, 4, 9));
        // Rows 0 and 2 of the window are the even phase, row 1 the odd one.
        assert_eq!(g.tap(0), 0);
        assert_eq!(g.tap(1), 25);
        assert_eq!(g.tap(2), 1);
        assert_eq!(g.tap(3), 50);
        assert_eq!(g.tap(8), 6);
    }

    #[test]
    fn what_stands_as_it_should() {
        let one = Geometry::new(&Window::new([1, 1]), &[5, 7], &[5, 7]).unwrap();
        assert!(one.in_place() && one.is_dense());
        let three = Geometry::new(&Window::new([3, 3]).with_pads([1, 1]), &[5, 7], &[5, 7]).unwrap();
        assert!(!three.in_place() && !three.is_dense());
        assert_eq!(three.span(), 4 * 9 + 7);
    }
}
