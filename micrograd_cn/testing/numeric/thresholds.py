"""The thresholds of gradient checks in one table: the numbers that decide what is tried, and which verdict is given.

The text below each number says its unit in the first sentence, and then the reason for it. Where the unit is "1", the
number is a ratio of two quantities, which the reason names. Code that needs half or twice a threshold says so itself.

The words in the table: The derivative that is checked is called analytic. φ is the function of one number that is
differentiated, such as a weighted sum of outputs along a direction. The mismatch is the distance of the analytic
derivative from the numerical one. An "estimated error" is that of the numerical derivative. The "rounding" is the
estimated rounding error of a value of φ. The "last bit" of a number is the distance to the next number of its type. A
"step" is a distance from the point, relative to the sizes of the elements that move (`Problem.scale`).
"""

from __future__ import annotations

import math

# How often the function is called, and what is compared.

MAX_CALLS = 300
"""Calls of the function. This is the budget of a check in which nothing looks wrong, so a check of a slow function
takes seconds and not minutes."""
RESERVED_CALLS = 8
"""Calls of the function. They are kept for the rules that are checked after the comparisons."""
CALLS_AFTER_WRONG = 16
"""Calls of the function. After a wrong element, each further element has so many; a clear mistake shows after 6."""
MAX_UNCLEAR_AFTER_WRONG = 2
"""Comparisons. After a wrong element, no more are made once so many have run out of calls: the others would, too."""
CALLS_TO_COMPARE = 6
"""Calls of the function. Before it is said that f depends on an argument's type, its derivatives are computed so often
again. A function with dropout of one number by half gives equal results with a probability of 2 ** -6."""
REPEATED_CALLS = 32
"""Calls of the function. If it uses a global random number generator without seeding it, it is called so often again at
the point. A coin gives equal results with a probability of 2 ** -32."""
REPEATED_AT_JUMP = 16
"""Calls of the function. If its values near the point jump, it is called so often again, at the point and at the jump,
since a function with a random number generator of its own jumps, too."""
KEPT_CALLS = 16
"""Calls of the function. At most so many are kept for each comparison that comes later. Most of those need 6, and the
comparisons before them may use what is not kept."""
UNLIMITED_CALLS = 10**9
"""Calls of the function. In half precision, it takes many calls to tell a mistake from noise."""
MAX_COMPARED_SINGLY = 16
"""Derivatives. Up to this count, each derivative of an output with respect to an element is compared by itself."""
MAX_NUMBERS = 100
"""Numbers in the arguments of a function of `Value`s. A check of 100 numbers takes ten seconds, and a check of 300
numbers would take minutes."""
MAX_PARAMETERS_TWICE = 8
"""Parameters of a module. Second derivatives are compared with respect to at most so many, since each pair of them is a
derivative of its own."""
MAX_CACHED_SIZE = 1000
"""Elements and outputs together. Values at more are not cached, since looking them up would cost more than a call."""
DIRECTIONS = 4
"""Directions. So many random directions are compared if there are too many derivatives to compare each."""
ELEMENTS = 8
"""Elements. So many are compared by themselves if there are too many derivatives to compare each."""
MANY_IN_HALF_PRECISION = 2**18
"""Elements and outputs together. In half precision, a comparison takes many calls of f and of its derivative, so among
more numbers, it is made along `FEW_DIRECTIONS`, for `FEW_ELEMENTS`, and at `FEW_INTERVAL_POINTS`."""
FEW_DIRECTIONS = 2
"""Directions. So many are compared among more than `MANY_IN_HALF_PRECISION` numbers, where each takes as long as a
whole check of few numbers."""
FEW_ELEMENTS = 2
"""Elements. So many are compared among more than `MANY_IN_HALF_PRECISION` numbers: a few say little about a million."""
MAX_GROUPS = 12
"""Directions. Each array gets a direction of its own; if there are more arrays than this, some share a direction."""
MAX_EVEN_SIZE = 1000
"""Elements. Up to this count, some directions move half of the elements uphill and half downhill. Among more elements,
the changes uphill and downhill would cancel."""
UPHILL_SHARES = (0.5, 0.75)
"""Share of the elements that surely move uphill in a second direction, among few and among many elements. It balances
two needs: a steep slope tells more, and a mistake in one of many elements is lost in it."""
MAX_WRONG_ELEMENTS = 3
"""Elements. So many wrong elements are enough to show a mistake."""
FEW_WRONG_ELEMENTS = 1
"""Elements. So many are enough among very many numbers in half precision, where each takes as long as a direction."""
MANY_TO_HALVE = 128
"""Elements. Among more, a wrong one is first looked for around the centre of the mismatch, in four calls. Halving takes
two calls for each bit of the count."""
AROUND_CENTRE = 2.0**-9
"""Relative to the count of elements. A single wrong element lies at most so far from the computed centre."""
MAX_SINGLE_OUTPUTS = 3
"""Outputs. So many are tried as the only output whose upstream gradient is not None."""
NEARBY_DISTANCES = (2.0**-4, 2.0**-3, 2.0**-2)
"""Relative to `Problem.scale`. At a kink, derivatives are compared so far away instead, where the function is
smooth."""
HIDDEN_SHARE = 2.0**-4
"""1: the change of one array of the result, over the largest change of such an array. If it is less, the array hides
behind the other in a weighted sum of all outputs, so it is compared by itself."""
CLEAR_OUTPUT_MISMATCH = 0.1
"""Relative to the numerical derivative. An output whose derivative is off by more shows the mistake well."""
MAX_HIDDEN = 0.15
"""Relative to the norm of the gradient. If a larger mistake would not show along any direction, the user is warned."""
TOLD_HIDDEN = 0.01
"""Relative to the norm of the gradient. From this size on, the result of `gradcheck` tells which mistakes are
hidden."""
MAX_OPPOSITE_SPREAD = 2.0
"""Standard deviations of the mismatches at points near a kink. If their mean is less, they differ from point to point,
as where the order of a sorted array changes, and are no mistake."""

# Types of numbers.

HALF_PRECISION_BITS = 12
"""Fraction bits. Types with at most so many are half precision: float16 has 10, and bfloat16 has 7."""
DOUBLE_PRECISION_BITS = 40
"""Fraction bits. With so many or more, rounding is far below the tolerance."""
COARSER_BITS = (23, 10)
"""Fraction bits. They are those of float32 and of float16. A part of a function may compute in these types."""
MIN_EXACT_SQUARE_SUM = 1e-280
"""1: a sum of squares of doubles. A smaller sum has lost digits by underflow."""
UNDERFLOW = 1e-300
"""Doubles. Smaller numbers may have lost digits by underflow."""
REPEATED_BITS = 8.0
"""Last bits of the largest entry. Two calls at the same point may differ by so much, since sums may be computed in
another order."""

# How exact a numerical derivative must be, and how far off the analytic one may be.

DEFAULT_RTOL = 1e-6
"""Relative to the derivative. This is the tolerance in doubles: a wrong formula is off by far more."""
DEFAULT_ATOL = 1e-9
"""Derivatives of functions of `Value`s. This is the default tolerance for derivatives that should be 0."""
RTOL_BITS = 8192.0
"""Last bits of the derivative. This is the tolerance in types with fewer digits than doubles, whose last bit is larger:
an analytic derivative is a sum of many rounded terms."""
DETECTABLE_ERROR = 0.01
"""Relative to the derivative. A check must be able to see an error of 1 %, or it has compared nothing."""
ESTIMATED_ERRORS = 5.0
"""Estimated errors. The analytic derivative may be off by so many, since the estimate itself is uncertain."""
ACCEPTED_NOISE = 10.0
"""The part of the estimated error that comes from rounding. If `ESTIMATED_ERRORS` estimated errors are at most so many
times this part, finer steps would not make the numerical derivative more exact."""
TYPICAL_SHARE = 1e-2
"""Relative to a typical derivative. When rtol is applied, a derivative counts as at least so large, since it shares the
rounding of larger ones."""
ZERO_ERROR = 2.0**-1022
"""The smallest normal double. A derivative is known to be 0 if its error is at most this."""
ZERO_SHARE = 1e-12
"""Relative to the slope that would change a `Value` by itself. A derivative of 0 must be known to this, so that a small
error does not excuse a wrong derivative."""
MAX_ZERO_ERROR = 1e-3
"""Derivatives of functions of `Value`s. However large the value is, a derivative of 0 must be known to this."""
TELLING_SHARE = 0.1
"""Relative to the derivative. For functions of `Value`s, the estimated errors must be less; an estimate with a larger
error would excuse any derivative."""
EXCUSED_ERROR = 1e-3
"""Relative to the numerical derivative. A derivative that agrees only by the default atol must be off by less."""
KNOWN_WELL = 1e-4
"""Relative to the derivative. A numerical derivative with a smaller error is known to four digits, so it shows a
mistake that the default atol would excuse."""
KNOWN_ROUGHLY = 0.02
"""Relative to the derivative. Numerical derivatives with at most this error show a mistake that is far larger."""
OUTSIDE = 10.0
"""Estimated errors. A derivative is wrong if it is farther than this from the numerical ones, those of both sides and
the central one, even if they are known only roughly."""
AGREEING_ERRORS = 10.0
"""Estimated errors. Two numerical derivatives agree if they differ by at most so many of both together."""
SAME_SLOPE = 10.0
"""Allowed errors. The function has no kink if the derivatives of its two sides differ by at most so many."""
HIDDEN_VALUE_CHANGE = 32.0
"""Rounding. If a function of `Value`s does not seem to change, and the analytic derivative would change it by at most
so much, rounding may hide the change."""
FIRST_ORDER = 1.5
"""1: the order in h of the Taylor remainder. It is about 1 for a wrong derivative, and 2 or more for a right one."""
MAX_JUMP = 1e-6
"""Relative to the value. A function that changes more between neighbouring floats jumps."""
JUMP_ROUNDING = 1e3
"""Rounding. A function that changes by less between neighbouring floats may be rounded, and need not jump."""
NOISE_SHARE = 0.1
"""Relative to the estimated error. If rounding makes up more of it, noise is the reason why nothing can be told."""
WIDER_THAN_FINEST = 8.0
"""The finest steps. The change in the finest steps is compared with the change in steps that are so much wider."""
NEARER_SLOPE = 0.7
"""Mismatches. A slope over the finest steps that is nearer to the analytic derivative shows a feature that is as narrow
as these steps."""
FINEST_JUMP = 16.0
"""Rounding. A function that changes by more in the finest steps may jump there."""
NEAR_SHARE = 2.0**-4
"""The largest step. A change over a step that is at most so long is compared with the slopes over longer steps."""
JUMPING = 16.0
"""1: the change over a near step, over what the steepest slope over longer steps predicts. If it is more, f may jump. A
continuous function that is so much steeper near the point, such as a square root, is rare."""
SURE_IN_FINEST = 40.0
"""Rounding. A mismatch that changes φ by more in the finest steps shows a mistake there in spite of noise."""

# Numerical derivatives and measured noise.

LEVELS = 14
"""Steps. An extrapolation takes at most so many; each is half of the step before."""
FIRST_STEP_BITS = (0.06, 0.17, 0.31, 0.46)
"""Relative to the count of fraction bits: exponents k of the first steps 2**-k of extrapolations. In doubles they
are 3, 9, 16 and 24: only a step smaller than the distance to the next kink or pole tells, and noise grows in small
steps."""
FINEST_STEP_BITS = 0.75
"""Relative to the count of fraction bits: the exponent k of the finest step 2**-k. In a smaller step, rounding hides
all."""
NOISE_STEP_BITS = (0.77, 0.54, 0.42, 0.31)
"""Relative to the count of fraction bits: exponents k of the steps 2**-k in which noise is measured. In doubles they
are 40, 28, 22 and 16, so coarser rounding in a part of the function shows in one of them."""
EXACT_ENOUGH = 1e-2
"""Tolerances. An extrapolation ends at an error that is this part of rtol, since a smaller error tells no more."""
EXACT_VALUE_DERIVATIVE = 1e-11
"""Relative to the derivative of a function of `Value`s. An extrapolation ends at this error."""
QUOTIENT_NOISE = 4.0
"""Rounding. The difference of two values in a difference quotient may be off by so much."""
ERROR_GROWTH = 4.0
"""1: the difference of the last two extrapolated values, over the best estimated error. An extrapolation ends where it
is larger, since smaller steps are noisier."""
GUESS = 10.0
"""Errors of the coarser estimate, or the noise of the finer one. A finer estimate with a larger error is a mere
guess."""
REMAINDER_NOISE = 16.0
"""Rounding. A Taylor remainder that is smaller is hidden by rounding."""
PROPORTIONAL = 1.25
"""1: the ratio of the largest to the smallest quotient of a remainder and its step. If it is less, the remainder is in
proportion to the step."""
VANISHING = (0.25, 0.4)
"""1: the even part of the remainder, over its odd part, or over its own size a few steps before. If it is less, the
even part vanishes faster than the step, so there is no kink."""
WIDE_ULP = 2.0**-8
"""Distance of neighbouring floats at the point. Where it is larger, hardly any step is small enough."""
NEIGHBOUR_NOISE = 4.0
"""Rounding. The values at neighbouring floats may differ by so much from what the slope predicts."""
NEIGHBOUR_SHARE = 0.1
"""Relative to the predicted change between neighbouring floats. The change may differ by so much."""
LOST_DIGITS_ERROR = 1e-10
"""Relative to a value. A value with a larger rounding error has lost digits."""
STILL_STEP = 2.0**-13
"""Relative to the operand. In such a step, the value of an operation should change."""
STATED_ROUNDING = 1e-15
"""Relative to a value. This is the unit in which an operation states its rounding error (`Smoothness.rounding`)."""
NOISE_STEP = 0.7
"""1: the spacing of the points at which noise is measured, over a power of 2. Values at powers of 2 are rounded
less."""
NOISE_OFFSET = 0.3
"""The spacing of these points. The first point is so far from the point itself, which may be special."""
NOISE_ULPS = 4.0
"""Distances of neighbouring floats. At a smaller spacing, not every change is rounding."""
FAR_NOISE = 8.0
"""Last bits of the largest value. Noise in values farther from the point counts only if it is larger than their own
last bits."""
ALIASED_SHARE = 2.0**-8
"""1: the noise over the range of the values. Rounding is far less. An oscillation that is sampled too rarely is about
1."""
ALIASED_STEP = 0.25
"""Noise levels. If the slope explains a change of so much between two points, what looks like noise may be
steepness."""
ALIASED_DIVISION = 0.05
"""Noise levels. Points at which the slope explains so much show whether the function is continuous."""
MAX_SMOOTH_CHANGE = 5.0
"""1: the largest change between neighbouring points, over the median of these changes. A larger one is a jump."""
STEADY = 0.1
"""1: how much changes between equally spaced points differ, relative to the smaller. If less, they show a slope."""
MIN_STILL = 4
"""Equal pairs among eight neighbouring values. So many show a staircase; a single step may be a jump."""
SAME_NOISE = 4.0
"""1: the largest over the smallest of three noise levels from differences of successive orders. Differences of noise
give levels that are closer to each other."""

# Comparisons along a direction.

TYPICAL_MOVE = 1e4
"""1: the typical slope over the slope of φ over the largest step. If it is more, the gradient is wrong, or the point is
stationary. Then this multiple of the slope of φ is taken as the typical slope."""
FAR_STEP = 23.0 / 3.0
"""Steps. In a step this large, every output changes that depends on the moved elements at all. Even times a power of 2,
it is not a whole number, since a periodic function may return to its value after whole steps."""
LONG_DIFFERENCE = 0.5
"""Move of an element, in the finer of the two steps that a first look takes. Where it is longer, it misses features at
whole numbers, such as the teeth of a sawtooth."""
TOWARDS_ZERO = (0.5, 2.0**-4, 2.0**-8, 2.0**-16)
"""Relative to the point. At these points, an output that overflows at the point itself may be finite."""
UNEVEN_STEP = (math.sqrt(5.0) - 1.0) / 2.0
"""Move of an element, beside features at whole numbers. The golden ratio is no whole count of the steps of any
quantiser."""
BEYOND_OWN_SIZE = 4.0
"""1: the move of an element over its size. If it is larger, smaller steps may stay in the domain."""
MIN_SIGNAL_TO_NOISE = 1000.0
"""Rounding. If φ changes by less in the largest step, rounding hides an error of 1 %."""
VISIBLE_MISMATCH = 20.0
"""Rounding. A mismatch shows if it changes φ by more in the largest step."""
VISIBLE_SHARE = 0.1
"""Relative to the analytic derivative. A larger mismatch in the largest step may be a mistake, even if noise is
large."""
BURIED = 2.0
"""Rounding. In half precision, a smaller change of φ over the largest step is noise."""
ALL_NOISE = 4.0
"""Rounding. If it hides all, the difference of two values may be off by so much."""
COARSE_BITS = 4.0
"""Last bits of the largest output in an array, or of an intermediate result. A value of φ may be rounded by so much."""
MAX_ANALYTIC_NOISE = 2.0**13
"""Last bits of the derivative. A correct analytic derivative may be as noisy, since it is computed in many steps."""
BEYOND_NOISE = 10.0
"""Errors of both derivatives. No noise makes a mismatch that is larger."""
MAX_SCATTER = 0.1
"""Relative to the slope and to the mismatch. Difference quotients that scatter less are not mere noise."""
CLEAR_MISMATCH = 100.0
"""Estimated errors. A derivative that is off by more is wrong, even if larger steps agree."""
CHANGE_FACTOR = 2.0
"""The slope of φ over the largest step. The derivative is hardly larger than this (`ArrayTolerance.own_slope`)."""
FLAT_POWER = 0.4
"""1: an exponent of eps. eps to this power, times the slope of φ over the largest step, is how exactly a derivative of
0 must be known at a stationary point (`ArrayTolerance.flat_slope`)."""
OTHER_STEPS = 2.0
"""1: the ratio of other steps and the steps so far, as a power of 2. If it is less, the other steps tell little
more."""
FAR_TOO_LARGE = 4.0
"""1: the ratio of a step and another step for the same element, as a power of 2. If it is more, the step is far too
large or far too small."""
FAR_TOO_LARGE_SHARE = 0.1
"""Share of the moved elements. If more of them make far too large steps, a mistake must show in other steps, too."""
CROSSING = 4.0
"""The finest steps. An element that is smaller may change its sign in the finest steps."""
CROSSING_IN_HALF = 1.0
"""The finest steps. In half precision, an element that is smaller changes its sign in the finest steps."""
EDGE_FACTOR = 2.0**-10
"""Steps. They are made smaller by this factor where the edge of the domain or a pole may be near."""
ROUNDED_OFF = 4.0
"""Last bits of the other derivatives. A derivative this small may be lost if it is added to these."""
FAR_BELOW_ERROR = 2.0**12
"""1: what the estimated error of the numerical derivative allows, over the analytic derivative. If it is more, rounding
hides the derivative, and nobody knows whether it is right."""
NEGLIGIBLE_SHARE = 1e-4
"""Relative to the norm of the gradient. A derivative that is smaller may be hidden by rounding."""

# Excuses for a derivative that seems wrong.

ABSORBED_SHARE = 1e-6
"""Mismatches. If the rest of the derivative is off by less, rounding that absorbs changes explains the mismatch."""
HARDLY_CHANGES = 0.1
"""Mismatches. If the numerical derivative is smaller, f hardly changes, and the analytic one may be nothing but
rounding."""
HARDLY_NOISE = 2.0**-4
"""The noise that would explain the mismatch. If values at three points are all off by less, there is no such noise:
noise of this size is as small there by chance in one of ten thousand cases."""
FEW_LAST_BITS = 3.0
"""1: the exponent k of 2**k last bits, the steps of the point and of the weights of the outputs in which the rounding
of a derivative is measured. In longer steps, the derivative itself may change, as beside a pole."""
TERM_NORMS = 2.5
"""Norms of the terms of a derivative along a direction, times the tolerance. Rounding errors of the terms have random
signs, so the sum is hardly off by more. In PyTorch's `logcumsumexp` of 12 numbers, it was off by up to 2.1."""
OTHER_MEAN = 0.25
"""Mismatches. If the difference quotient in the largest steps is nearer to the numerical derivative, the mismatch does
not vanish over these steps, and treads do not explain it."""
MAX_TREADS = 4.0
"""Treads of a staircase. A mismatch that changes φ by at most so many, in the width of a tread, may be rounding."""
JUMPS_OF_ROUNDING = 64.0
"""1: the estimated rounding of intermediate results, over the height of a jump and the count of moved elements, which
jump one after another. If it is at most this, the jump confirms the estimate. For x * (1 + tanh(x)), whose sum is
rounded to its last bit, it is 32, and the weights of the outputs differ."""
TAIL_DEGREE = 10
"""1: the degree of a polynomial. Over steps of 2, exp(2 * x) differs from it by a millionth, and noise by far more."""
SHORT_PARTS = (1.0, 0.5, 0.25)
"""The shortest interval of a tail. In parts so long, f may change by many treads, and its derivative by little."""
NOISY_SHARE = 2.0**-5
"""The change of φ that the mismatch explains over half an interval, over the count of moved elements. If values scatter
by less, f is not noisy there."""
ROUNDED_PARTS = 4.0
"""The rounding of one part of f. The difference of two values may be off by so much, if the part is squared, as in
1 - tanh(x)**2."""
PARTS_OF_WAY = (2.0, 1.0, 1.0 - 2.0**-2, 1.0 - 2.0**-4, 1.0 - 2.0**-6)
"""1: how far towards 0 all moved elements go, over their distance from it. There, parts of the derivative show: the
derivative of tanh is small in its tails, and computed as the difference of numbers as large as the derivative at 0."""
ON_TREAD = (0.25, 0.5, 0.75)
"""1: parts of the distance to the end of a tread. There, a function that is smooth on the tread has no other jump."""
FACTOR_INTERVALS = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Steps: half widths of intervals. Over some of them, the derivative of a tail changes by about its own size."""
WIDER_MISMATCH = 0.4
"""Relative to the mean of the derivative over a wider interval. If the mismatch is more, it does not vanish. It is 0.5
for a derivative that is twice too large."""
WIDER_SHARE = 0.75
"""1: the relative mismatch in the mean over such an interval, over that at the point. If it is less, it vanishes over
wide intervals. A derivative that is off by a factor keeps it, and errors of the mean hardly make it a quarter less."""
FEATURE = 8.0
"""Rounding. A jump or scatter of the values that is larger is a feature of the function, and not rounding."""
LONG_STEP = 2.0**-7
"""Move of an element. Where even the finest steps are as long, features at whole numbers are not seen."""
OSCILLATION_POINTS = 48
"""Points. At so many near the point, a derivative is compared with the numerical one."""
FIRST_POINTS = 16
"""Points. If the derivative is above the numerical one at so many of these, or below it, it does not oscillate."""
OSCILLATION_REACH = 16.0
"""The finest steps. These points are at most so far away. If the finest step is about the distance of two poles, there
are about 32 poles, and if it is a quarter of a period, as of a sine that the steps still resolve, there are 8 periods
with 16 crossings."""
OSCILLATIONS = 14
"""Times. If the derivative crosses the numerical one as often between these points, it oscillates around it, which
takes 24 crossings on average. A curved one crosses it once or twice, and twice the derivative of lgamma about 12
times."""
SMOOTH_SHARE = 0.1
"""The scatter around a parabola that an oscillating derivative predicts. If the values scatter less, f is smooth. The
prediction is up to seven times too large, since few points show every crossing."""
SMOOTH_SCATTER = 2.0
"""Rounding. Where the finest steps reach the next pole, values of a smooth function scatter by at most so much."""
TELLING_SCATTER = 20.0
"""Rounding. If an oscillating derivative predicts a smaller scatter there, rounding hides whether f is smooth."""
NEIGHBOURING = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
"""Twice the last bit of the point. If a function changes as much between these points as over far larger steps, no step
is short enough."""
KEPT_HEIGHT = 16.0
"""1: the height of a feature at a point that is nearer to 0 by the square of `MUCH_SMALLER`, over its height at the
point, or the other way round. Rounding would be far less there. The heights differ since few moves show them."""
SHORTEST_MOVE = 2.0**-8
"""Move of an element. It is far shorter than features at whole numbers, and far longer than the last bit of most
points."""
SHORT_MOVES = (1.0, -7.0, 17.0, -157.0, 411.0, -693.0)
"""The shortest move. In some of these, a function with features is off its slope in the long move. They are odd, as no
whole count of periods is."""
OFF_SLOPE = 0.02
"""Relative to the change that the slope in the long move predicts. A smooth function is off by less in short moves."""
STRAIGHT_MOVES = (5.0, 10.0, 15.0)
"""The shortest move. In moves so long, most outputs stay on one tooth on one side of the point, and change by more than
rounding."""
STRAIGHT = 0.1
"""Relative to the change of an output. If changes in several moves are off the straight line by less, the output is
straight."""
OTHER_SLOPE = 0.4
"""Relative to the steeper slope. If the slopes in short and in long moves differ by more, they are different. Treads
that rounding makes may be off by a third. If a long move is less steep than the short one by this factor, the curvature
of a smooth function does not explain it."""
SLOPE_STEPS = 8.0
"""The finer step of a first look. In a move so long, there are many features, so its slope is that of their mean."""
ROUGH_SHARE = 0.4
"""Distances from a parabola. A smooth function is nearer than this to a polynomial of degree 6."""
FEATURE_SLOPE = 4.0
"""Heights of a feature, over the distance of near points. The slope of a feature is at most this."""
FEATURE_STEPS = (0.09, 0.146, 0.236, 0.382, 0.618, 1.618, 2.618, 4.236)
"""The finest steps: half widths of intervals. Over some of them, a feature that is hardly wider shows, or the slope
beside a pole that is nearer. They are powers of the golden ratio, since steps of whole numbers may all end at the same
distance from a pole."""
SHORT_STEPS = (1.0, 2.0, 4.0, 8.0)
"""The finest steps. If f has the slope that the derivative says over all of these, f has a feature that is wider."""
CLOSE_SLOPE = 0.3
"""Mismatches, and relative to the analytic derivative. Noise scatters the slopes over these steps by more."""
FEATURE_SHARE = 0.05
"""Mismatches. If the difference quotients in the finest steps differ by more from the numerical derivative, a feature
is about as narrow as these steps. Beside a pole, the mismatch is up to 15 times as large as that difference."""
LEAST_CHANGE = 0.25
"""Mismatches. Beside a feature that is about as narrow as the finest steps, the derivative changes by at least so much
within a few of them."""
SURE_MEAN = 0.1
"""Mismatches. If a mean over some finest steps agrees with an error that is smaller, it contradicts the numerical
derivative, which comes from longer steps."""
WIDE_INTERVALS = (1.0, 0.25, 2.0**-4)
"""Steps: half widths of intervals. A mistake shows in the mean over some of them."""
TRIED_DIRECTIONS = 16
"""Directions. So many are tried in search of a kink at equal elements; at three equal numbers, half of all directions
show it."""
MANY_TIES = 64
"""Elements. If more of them are equal to others, their kinks hardly cancel along a random direction. Among many numbers
of float32, chance alone makes some equal."""
TRIED_AMONG_MANY = 3
"""Directions. So many are tried if more than `MANY_TIES` elements are equal to others."""
SHORTEST_MOVED_PART = 0.25
"""Entries of a direction. Along an uneven one, each element moves by at least this part of its entry."""
UNEVEN_DIRECTIONS = 2
"""Directions. So many are tried in search of kinks of several elements that cancel along another direction. The kinks
of two elements nearly cancel again along one in four of them."""
SHORT_DIGITS = 4
"""Decimal digits. Functions have kinks at numbers that people write, such as -1 and 0.25, which have no more."""
SHORT_SHARE = 0.125
"""Share of the elements that move. If fewer are such numbers, kinks of several elements hardly cancel, and a look for
them would cost calls for nothing."""
KINK_SHARE = 1e-2
"""Relative to the difference quotients. Their sum stays away from 0 at a kink, and is at least so large."""
EXPLAINING_KINK = 0.25
"""Mismatches. If the sum of difference quotients at a kink is at least so large, the kink may explain the mismatch,
however steep the function is."""
KINK_NOISE = 20.0
"""Rounding over the step. The sum of difference quotients at a kink is larger."""
SHORTER_STEP = 0.25
"""The shortest of the first steps. In a step so short, a kink shows even if other rows of an array change their order
in longer steps."""
SAME_SUMS = (1.0, 0.5, 0.85)
"""1: for three steps, the sum of difference quotients over that for the step before, or the other way round. If it is
more, both show the same kink. It must also be more than the mean of 1 and the ratio of the steps, which matters in half
precision. The third step is only a quarter of the second, so the sums must be nearly equal. For the first step, there
is no step before."""


# Step functions and staircases.

GROWTH = 2.0**8
"""1: the ratio of steps that look for the first change of the function."""
BISECTIONS = 20
"""Bisections. After so many, a jump is located up to a few thousandths of its distance."""
MAX_CONTINUOUS_START = 1e-2
"""1: the first change of the function, over its change at somewhat larger steps. If it is less, the function does not
jump, but begins to change continuously, as relu does at 0."""
CONTINUED_STEPS = (1.5, 3.0)
"""The step of the first change. These are the somewhat larger steps."""
FAR = 64.0
"""Steps, the sizes of the elements, and 1. Staircases are looked for so far from the point."""
SHORTER_REACH = 4.0
"""1: the ratio of two distances in which staircases are looked for. The shorter one is tried if f is not finite in the
longer one."""
MANY_TREADS = 0.4
"""Relative to the count of fraction bits. The staircase that rounding makes has at least 2 to the power of this
treads."""
TREADS_SEEN = 0.25
"""1: how high a staircase climbs, over its count of treads times the height of the first. If it is more, the treads
have about the same height."""
LEAST_TREADS = 4
"""Different changes of φ. If all are multiples of the smallest one, φ is a staircase: so many changes of a smooth
function are multiples by chance in one of a thousand cases."""
FEW_TREADS = 32.0
"""The smallest change of φ. Larger changes may not be multiples of it, since treads differ a little in height."""
STEPPING_ELEMENTS = 8
"""Elements. So many elements of an array are moved alone, to see whether f is a step function along each of them. Of 8
elements, hardly all are exceptions."""
STEPPING_SHARE = 0.75
"""Relative to those of these elements on which f depends. If f is a step function along at least so many of them, it is
one along the array. A few elements may lie exactly where f jumps."""
WHOLE_COUNT = 0.05
"""Treads. If a change is that near to a whole count of treads, it is a multiple."""
TREAD_SHARE = 0.1
"""Relative to the change that the derivative predicts. A function that is off by more in its finest steps may have
treads there."""
STEP_BITS = 0.4
"""Relative to the count of fraction bits. A step function jumps by at least 2 to the power of -this, relatively."""
LOW_STEP_BITS = 0.75
"""Relative to the count of fraction bits. A lower jump is one of a step function if it is as high at much smaller
arguments, where rounding would be finer."""
MUCH_SMALLER = 16.0
"""1: the point over the point nearer to 0 at which the height of jumps is compared."""
NEARER_POINTS = 8
"""Points. Where even the smallest steps may be longer than treads, steps are looked for at so many points, each nearer
to 0 by the factor above. From 1e16, they reach 2e6."""
SAME_HEIGHT = 8.0
"""1: the first change of an output in growing steps, over the height of a jump. It is at most this, since the growing
step may cross several treads. Jumps that exceed the last bits of the output by no more are not seen."""
CROSSED_TREADS = 4.0
"""1: the ratio of the growing steps in which the first jump of an output is looked for. Such a step may cross as many
treads at once, so the height of a jump may be found this much too large."""
LEAST_SUBNORMALS = 2.0**10
"""The smallest number of the type. Numbers that are smaller than so many of it are all rounded."""
NEXT_STEPS = (3.0, -5.0, 7.0, -11.0, 13.0, -17.0, 19.0, -23.0)
"""The finest step. Rounding alone changes an output between these steps, and a step function hardly does."""
CHANGING_SHARE = 0.25
"""Share of the outputs. If more of them change between these steps, rounding changes them."""
LAST_BITS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Last bits of the point. Between these points, a step function changes at most once, and a sawtooth all the time."""
HALF_PRECISION_JUMP = 1.5
"""Last bits of the output. A step function in half precision jumps by at least so much."""
SUDDEN_GROWTH = 2.0**0.25
"""1: the ratio of the steps in which a function in half precision must jump suddenly. A smooth function that changes as
fast as the fourth power of the step changes by at most its last bit in the first of these steps that changes it."""

# Half precision, and means over intervals.

INTERVAL_POINTS = 17
"""Points. At so many, the outputs are computed over an interval."""
FEW_INTERVAL_POINTS = 9
"""Points. Among very many numbers in half precision, so many are enough at points beside the one that is checked."""
MANY_INTERVAL_POINTS = 65
"""Points. With so many, Simpson's rule gives the integral of exp(x) over an interval of length 32 to a thousandth."""
LEAST_SCATTER = 0.6
"""Rounding. Values scatter at least so much around a fitted curve: independent errors of up to half a last bit have a
standard deviation of 0.58 of that half."""
SCATTERS = 4.0
"""Standard deviations of the slope of a fitted curve. Its noise is at most this."""
CURVED_SHARE = 0.5
"""Relative to the scatter around a line. If the scatter around a parabola is smaller, the rest is curvature."""
INTEGRAL_SCATTERS = 2.5
"""Medians of the second differences of a derivative, times the square root of the count of points. An integral of the
derivative is off by at most so much, if their errors are independent."""
HALVED_CURVATURE = 0.25
"""1: the sum of every other second difference of a derivative, times the spacing. This part is half of the change of
the integral if every second point is left out."""
JUMP_SHARE = 0.25
"""1: second differences of a derivative that are larger than usual, times the spacing. An integral over a jump is off
by up to this part of them."""
USUAL_BENDS = 4.0
"""Medians of the second differences. A difference that is larger is a jump."""
NOISE_OF_DIFFERENCES = (1, math.sqrt(6.0 / 20.0)), (2, math.sqrt(6.0 / 70.0))
"""1: for differences of the first and the second order of second differences, how large noise is in second differences
relative to these. The numbers under the roots are sums of squares of binomial coefficients."""
NEXT_SMALLER = {1.0: 0.5, 0.5: 0.25, 0.25: 0.0625}
"""Steps: half widths of intervals. For each, the interval to try next if curvature hides the derivative."""
NEXT_LARGER = {1.0: 2.0}
"""Steps: half widths of intervals. For each, the interval to try next if noise hides the derivative."""
SURE_SHARE = 0.25
"""Relative to the derivative. If less than this is allowed, a mismatch of twice as much is sure to be a mistake."""
WIDER_INTERVALS = (8.0, 16.0)
"""Steps: half widths of intervals. Over these, rounding that always goes one way matters less."""
ONE_WAY = 4.0
"""Last bits of each output. Rounding that always goes one way may be as much."""
WELL_KNOWN = 2.0**-7
"""Relative to the derivative. If the estimated error is smaller, more calls would hardly help in half precision."""
SHORT_STEP = 0.25
"""Steps. A derivative at the point itself is computed from steps that are shorter still."""
VISIBLE = 16.0
"""Rounding over such a step. A mistake that is larger shows."""
NEIGHBOURS = 8
"""Points. A mistake in half precision must show at so many points nearby as well."""
NEIGHBOUR_DISTANCE = 2.0**-4
"""Relative to each element. The points nearby are at most so far away."""
STEADY_MISMATCH = 2.5
"""Standard deviations of the mismatches at points nearby. If their mean is larger, the mismatch is about the same at
all points, as that of a mistake."""
FEW_NEIGHBOURS = 3
"""Points. Among so many numbers, a mismatch that is nearly the same at these needs no further points."""
SURELY_STEADY = 10.0
"""Standard deviations of the mismatches at these few points. If their mean is larger, they are nearly the same."""

# Rules that a backward pass must keep, and likely causes of mistakes.

UPSTREAM = -0.5
"""1: the factor by which the upstream gradient is scaled. It is a power of 2, so a linear backward pass scales without
rounding."""
LARGE_UPSTREAM = 2.0**10
"""1: the factor by which the upstream gradient is scaled to find a backward pass that clips gradients. Half precision
would overflow."""
UNDERFLOW_FACTOR = 2.0**8
"""1: the factor by which the upstream gradient is scaled in half precision, where small terms of the gradient may be
rounded to 0. In other types, gradients may differ by so many times the smallest normal number: a backward pass may have
multiplied a term that was rounded to 0."""
OVERFLOW_FACTOR = 2.0**8
"""1: the factor by which the upstream gradient is divided if the gradient overflows in half precision. It makes up for
the largest weight of an output."""
EQUAL_BITS = 64.0
"""Last bits of the largest entry in an array. Gradients are equal if they differ by at most so much, or by rtol times
that entry."""
CANCELLING = 8.0
"""Tolerances. Where terms of a gradient cancel, each of them may be rounded by so much."""
NEARBY_DISTANCE = 2.0**-4
"""Relative to each element. The derivative is first called so far from the point, in case it keeps results."""
NEARBY_IN_HALF = 0.5
"""Relative to each element. In half precision, the derivative is first called so far from the point: two gradients may
differ by a few last bits, which hide what a smaller distance changes."""
EQUAL_VALUE_BITS = 1024.0
"""Last bits of 1. A value that a function returns with its gradient may be off by so much, however small it is."""
LINEAR_RTOL = 1e-9
"""Relative to a term of `_backward`. A term that is linear in the upstream gradient is off by less."""
SAME_DERIVATIVE = 1e-6
"""Relative to the largest derivative. Derivatives that differ by more are computed in another way."""
NEGLIGIBLE_DIFFERENCE = 1e-12
"""Derivatives of functions of `Value`s. Smaller differences may come from rounding."""
EQUAL_RTOL = 1e-3
"""Relative to a number. Two numbers that differ by less count as equal in the search for a cause."""
EQUAL_ATOL = 1e-9
"""Derivatives. Two that differ by less count as equal in the search for derivatives in the wrong places."""

# Checks of operations.

MANY_OPERANDS = 6
"""Operands. With so many or more, derivatives are compared along one direction, since each alone would take long."""
LARGE_VALUE = 1e6
"""A value or partial of an operation. If one is larger, rounding hides too much of second derivatives to compare
them."""
SAME_VALUE = 1e-12
"""Relative to a value or partial. Two ways to compute it round differently, but hardly differ by more."""
INTERMEDIATE_ROUNDING = 8.0
"""Rounding of intermediate results. A lowering may differ from the row by so much, since it rounds others than the row
does."""
