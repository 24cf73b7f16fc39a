//! What one scores who has never heard of the subject, by the shape of the answers alone.
//!
//! A question asks nothing if the right answer can be told by its length, its place or a
//! word in it. Chance is one in the number of answers. Over all questions whatever looks at
//! the shape may beat it by 7 points, which is two standard deviations of guessing. In one
//! chapter there is luck besides: one question for a simple rule, whose writer can count;
//! two standard deviations for a regression, which learns from other chapters. Change the
//! answers when this fails, never the bound: all state, none argues, in similar words and
//! at a similar length; the reasons are told after the guess.

use experiments::ALL;
use experiments::row::Experiment;

/// How far above chance the shape may score, as a share of the questions.
const MARGIN: f64 = 0.07;
/// Questions of a chapter that a simple rule may get right by luck.
const LUCK: f64 = 1.0;
const LEARNED: &str = "regression";

/// What an answer looks like, as numbers.
const FEATURES: usize = 24;
type Shape = [f64; FEATURES];

fn has_reason(text: &str) -> bool {
    let words = [" since ", "because", ", as ", ", for ", ", so ", "; ", ": "];
    words.iter().any(|word| text.contains(word))
}

fn length(text: &str) -> usize {
    text.chars().filter(|c| *c != '`').count()
}

fn shapes(one: &Experiment) -> Vec<Shape> {
    let lengths: Vec<_> = one.answers.iter().map(|a| length(a.text)).collect();
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    let shape = |(index, &length): (usize, &usize)| {
        let text = one.answers[index].text.to_lowercase();
        let begins =
            |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let error = one.answers[index].text.split(|c: char| !c.is_alphanumeric());
        let error = error.into_iter().any(|word| {
            word.len() > 3 && word.starts_with('E') && word.to_uppercase() == word
        });
        let signs = [
            lengths.iter().all(|other| length <= *other),
            lengths.iter().all(|other| length >= *other),
            has_reason(&text),
            text.contains(": "),
            text.contains(','),
            begins(&["no", "never", "neither"]),
            begins(&["both", "all", "each", "every"]),
            begins(&["yes"]),
            begins(&["it "]),
            has(&["kernel"]),
            has(&["fail", "refuse"]),
            error,
            has(&["nothing"]),
            has(&["works", "succeeds"]),
            has(&["for ever", "hang"]),
            has(&["only", "alone"]),
            has(&[" not ", "n't ", "cannot"]),
            text.chars().any(|c| c.is_ascii_digit()),
            has(&["until", "while"]),
            index == 0,
            index == 1,
            index == 2,
            index == 3,
        ];
        let mut shape = [0.0; FEATURES];
        shape[0] = (length as f64 / mean).ln();
        for (number, sign) in shape[1..].iter_mut().zip(signs) {
            *number = f64::from(sign);
        }
        shape
    };
    lengths.iter().enumerate().map(shape).collect()
}

/// The answers' chances, by weight of their features: softmax over one question.
fn chances(weights: &Shape, answers: &[Shape]) -> Vec<f64> {
    let weigh = |shape: &Shape| {
        shape.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>().exp()
    };
    let all: Vec<_> = answers.iter().map(weigh).collect();
    let sum: f64 = all.iter().sum();
    all.iter().map(|one| one / sum).collect()
}

/// Logistic regression, by gradient ascent with a small penalty on large weights.
fn learn(questions: &[(&[Shape], usize)]) -> Shape {
    let mut weights = [0.0; FEATURES];
    for _ in 0..150 {
        let mut gradient = [0.0; FEATURES];
        for (answers, right) in questions {
            let chances = chances(&weights, answers);
            for (index, (shape, chance)) in answers.iter().zip(chances).enumerate() {
                let missing = f64::from(index == *right) - chance;
                for (sum, x) in gradient.iter_mut().zip(shape) {
                    *sum += missing * x;
                }
            }
        }
        for (weight, sum) in weights.iter_mut().zip(gradient) {
            *weight += 0.02 * (sum - *weight);
        }
    }
    weights
}

/// What the best answer by `worth` scores: where several are best, its share of a guess.
fn score(one: &Experiment, worth: impl Fn(usize) -> f64) -> f64 {
    let worths: Vec<_> = (0..one.answers.len()).map(worth).collect();
    let best = worths.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let chosen: Vec<_> = (0..worths.len()).filter(|p| worths[*p] == best).collect();
    let hit = chosen.contains(&(one.expected() - 1));
    f64::from(hit) / chosen.len() as f64
}

/// The worth of an answer to one who goes by a simple rule: higher is guessed.
type Rule = (&'static str, fn(&Experiment, usize) -> f64);

fn long(one: &Experiment, index: usize) -> f64 {
    length(one.answers[index].text) as f64
}

fn argues(one: &Experiment, index: usize) -> f64 {
    f64::from(has_reason(one.answers[index].text)) * 1e6
}

const RULES: &[Rule] = &[
    ("shortest", |one, index| -long(one, index)),
    ("longest", long),
    ("plain, then shortest", |one, index| -argues(one, index) - long(one, index)),
    ("plain, then longest", |one, index| -argues(one, index) + long(one, index)),
    ("with a reason, then longest", |one, index| {
        argues(one, index) + long(one, index)
    }),
    ("first", |one, index| f64::from(index == 0 && one.answers.len() > 1)),
    ("second", |_, index| f64::from(index == 1)),
    ("third", |_, index| f64::from(index == 2)),
    ("last", |one, index| f64::from(index + 1 == one.answers.len())),
];

/// What each rule scores in `chapter`, and at the end what a regression does that has
/// learned from the other chapters.
fn scores(chapter: &str) -> Vec<(&'static str, f64)> {
    let list = experiments::of(chapter);
    let by_rule = |(name, rule): &Rule| {
        (*name, list.iter().map(|one| score(one, |index| rule(one, index))).sum())
    };
    let mut all: Vec<_> = RULES.iter().map(by_rule).collect();
    let others = ALL.iter().filter(|(name, _)| *name != chapter);
    let others: Vec<_> = others
        .flat_map(|(_, list)| *list)
        .map(|one| (shapes(one), one.expected() - 1))
        .collect();
    let others: Vec<_> =
        others.iter().map(|(shapes, right)| (shapes.as_slice(), *right)).collect();
    let weights = learn(&others);
    let learned = list.iter().map(|one| {
        let chances = chances(&weights, &shapes(one));
        score(one, |index| chances[index])
    });
    all.push((LEARNED, learned.sum()));
    all
}

/// How many questions guessing gets right, and the standard deviation of that.
fn by_chance<'a>(list: impl IntoIterator<Item = &'a Experiment>) -> (f64, f64) {
    let chances = list.into_iter().map(|one| 1.0 / one.answers.len() as f64);
    let sums = |(mean, variance), p| (mean + p, variance + p * (1.0 - p));
    let (mean, variance): (f64, f64) = chances.fold((0.0, 0.0), sums);
    (mean, variance.sqrt())
}

#[test]
fn the_shape_of_an_answer_does_not_tell_that_it_is_right() {
    let mut wrong = Vec::new();
    let mut sums: Vec<(&str, f64)> = Vec::new();
    let mut check = |name: &str, rule: &str, score: f64, list: &[&Experiment]| {
        let of = list.len() as f64;
        let (by_chance, deviation) = by_chance(list.iter().copied());
        let luck = match (name, rule) {
            ("all", _) => 0.0,
            (_, LEARNED) => 2.0 * deviation,
            _ => LUCK,
        };
        let over = score > by_chance + MARGIN * of + luck;
        println!(
            "{} {name:<10} {rule:<28} {score:5.1} of {of:3}: {:3.0} %, chance {:.0} %",
            if over { "over" } else { "    " },
            100.0 * score / of,
            100.0 * by_chance / of
        );
        if over {
            wrong.push(format!("{name}, {rule}: {score:.1} of {of}"));
        }
    };
    for (chapter, list) in ALL {
        let list: Vec<_> = list.iter().collect();
        for (index, (rule, score)) in scores(chapter).into_iter().enumerate() {
            check(chapter, rule, score, &list);
            match sums.get_mut(index) {
                Some((_, sum)) => *sum += score,
                None => sums.push((rule, score)),
            }
        }
    }
    let list: Vec<_> = ALL.iter().flat_map(|(_, list)| *list).collect();
    for (rule, score) in sums {
        check("all", rule, score, &list);
    }
    assert!(wrong.is_empty(), "the shape tells:\n{}", wrong.join("\n"));
}

#[test]
fn each_place_has_its_share_of_a_chapters_right_answers() {
    let mut wrong = Vec::new();
    for (chapter, list) in ALL {
        for number in 1..=4 {
            let there = list.iter().filter(|one| one.answers.len() >= number);
            let share: f64 = there.map(|one| 1.0 / one.answers.len() as f64).sum();
            let right = list.iter().filter(|one| one.expected() == number).count();
            let far = (right as f64 - share).abs();
            if far > MARGIN * list.len() as f64 + LUCK {
                wrong.push(format!(
                    "{chapter}: {right} at {number}, even is {share:.1}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "places that tell:\n{}", wrong.join("\n"));
}

/// Three answers of which the one at `index` is right, as `shape` would have them.
fn sample(index: usize, texts: [&'static str; 3]) -> Experiment {
    use experiments::row::{Answer, Kind};
    let answer = |at| Answer { text: texts[at], why: "", right: at == index };
    Experiment {
        name: "sample",
        title: "",
        level: experiments::row::Level::First,
        question: "",
        answers: Box::leak(Box::new([answer(0), answer(1), answer(2)])),
        kind: Kind::Kernel,
        run: |_| Ok(1),
        moral: "",
        see: "",
        file: "",
        shows: &[],
    }
}

#[test]
fn the_regression_learns_that_right_answers_do_not_argue() {
    let texts = ["one, since it is", "two of them now", "three, since it is"];
    let rows: Vec<_> = (0..20)
        .map(|n| {
            let mut texts = texts;
            texts.swap(1, n % 3);
            shapes(&sample(n % 3, texts))
        })
        .collect();
    let rows: Vec<_> = rows
        .iter()
        .enumerate()
        .map(|(n, shapes)| (shapes.as_slice(), n % 3))
        .collect();
    let weights = learn(&rows);
    let asked = sample(2, ["a, since b is c", "b, since c is a", "c is neither"]);
    let chances = chances(&weights, &shapes(&asked));
    assert_eq!(score(&asked, |index| chances[index]), 1.0, "{chances:?}");
}
