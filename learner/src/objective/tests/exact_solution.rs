//! At exact flows every residual is 0, whatever the objective.

use super::*;

/// A 3 x 3 grid that may stop everywhere, with P_B uniform: its flows by going through the cells
/// from the last to the first.
struct Grid {
    log_flow: [[f64; 3]; 3],
}

fn log_reward(x: usize, y: usize) -> f64 {
    let reward: [[f64; 3]; 3] = [[0.1, 2.0, 0.5], [1.0, 0.01, 3.0], [0.2, 40.0, 1.0]];
    reward[x][y].ln()
}

/// log P_B of each way back from a cell.
fn log_pb(x: usize, y: usize) -> f64 {
    -(((x > 0) as u8 + (y > 0) as u8) as f64).ln()
}

impl Grid {
    fn solved() -> Self {
        let mut log_flow = [[0.0; 3]; 3];
        for (x, y) in (0..9).rev().map(|i| (i / 3, i % 3)) {
            let mut flow = log_reward(x, y).exp();
            for (x, y) in [(x + 1, y), (x, y + 1)] {
                if x < 3 && y < 3 {
                    flow += (log_flow[x][y] + log_pb(x, y)).exp();
                }
            }
            log_flow[x][y] = flow.ln();
        }
        Self { log_flow }
    }

    /// log F of the edges between the cells and of the exits.
    fn edges(&self) -> EdgeFlows {
        let mut edges = EdgeFlows { outgoing: vec![0], ..EdgeFlows::default() };
        let mut into = vec![Vec::new(); 9];
        for (x, y) in (0..9).map(|i| (i / 3, i % 3)) {
            for (x, y) in [(x + 1, y), (x, y + 1)] {
                if x < 3 && y < 3 {
                    into[3 * x + y].push(edges.log_flow.len() as u32);
                    edges.log_flow.push(self.log_flow[x][y] + log_pb(x, y));
                }
            }
            edges.log_flow.push(log_reward(x, y));
            edges.outgoing.push(edges.log_flow.len());
            edges.can_stop.push(true);
        }
        into.iter().for_each(|into| edges.incoming.push_with(|row| row.extend(into)));
        edges
    }

    /// Random walks with the terms of the exact solution.
    fn terms(&self, stream: &mut Stream, forward_looking: bool) -> Terms {
        let flow = |x: usize, y: usize| self.log_flow[x][y];
        let (offsets, log_z, edges) = (vec![0], flow(0, 0), self.edges());
        let mut terms = Terms { offsets, log_z, edges, ..Terms::default() };
        for _ in 0..20 {
            let (mut x, mut y) = (0, 0);
            loop {
                let rest = if forward_looking { log_reward(x, y) } else { 0.0 };
                terms.log_flow.push(flow(x, y) - rest);
                terms.log_stop.push(log_reward(x, y) - flow(x, y));
                terms.edges.states.push((3 * x + y) as u32);
                terms.state_log_reward.push(log_reward(x, y));
                let legal = [(x + 1, y), (x, y + 1)].into_iter().filter(|&(x, y)| x < 3 && y < 3);
                let legal: Vec<_> = legal.collect();
                let Some(&(next_x, next_y)) = legal.get(stream.below(legal.len() + 1)) else {
                    break;
                };
                let log_pb = log_pb(next_x, next_y);
                terms.log_pf.push(flow(next_x, next_y) + log_pb - flow(x, y));
                terms.log_pb.push(log_pb);
                (x, y) = (next_x, next_y);
            }
            terms.log_pf.push(log_reward(x, y) - flow(x, y));
            terms.log_pb.push(0.0);
            terms.log_reward.push(log_reward(x, y));
            terms.offsets.push(terms.log_pf.len() as u32);
        }
        terms
    }
}

#[test]
fn the_loss_is_zero_at_the_exact_solution_and_only_there() {
    let grid = Grid::solved();
    for wanted in every_objective() {
        let objective = objective(&wanted);
        let mut terms =
            grid.terms(&mut Stream::new(5, Purpose::Walk, 0, 0), wanted.forward_looking);
        let mut gradients = Gradients::default();
        for is_own_target in [true, false] {
            if !is_own_target {
                terms.target_log_flow.clone_from(&terms.log_flow);
                terms.target_log_stop.clone_from(&terms.log_stop);
                terms.edges.target.clone_from(&terms.edges.log_flow);
            }
            let loss = objective.loss(&terms, &mut gradients);
            assert!(loss < 1e-24, "{wanted:?}: {loss}");
            let Gradients { log_pf, log_pb, log_flow, log_stop, log_z, edges } = &gradients;
            let all = [log_pf, log_pb, log_flow, log_stop, edges].into_iter().flatten();
            for gradient in all.chain([log_z]) {
                assert!(gradient.abs() < 1e-12, "{wanted:?}: {gradient}");
            }
        }
        // The same step made more likely at the cost of another.
        let step = terms.log_pf.len() / 2;
        terms.log_pf[step] += 0.1;
        terms.edges.log_flow[0] += 0.1;
        let loss = objective.loss(&terms, &mut gradients);
        assert!(loss > 1e-6, "{wanted:?}: {loss}");
    }
}
