/** The pairs of a table of costs, at most one in each row and column, that cost least in all. */

/**
 * costs: rows of numbers; the shorter side must be small, as every subset of it is tried. As many pairs [row, column]
 * as the shorter side has.
 */
export function cheapestPairs(costs) {
  const [rows, columns] = [costs.length, costs[0].length];
  if (rows < columns) {
    const turned = costs[0].map((_, column) => costs.map((row) => row[column]));
    return cheapestPairs(turned).map(([column, row]) => [row, column]);
  }
  let best = new Map([[0, { cost: 0, pairs: [] }]]); // by the columns that are taken, as bits
  costs.forEach((row, i) => {
    const next = new Map(best);
    for (const [taken, { cost, pairs }] of best) {
      for (let j = 0; j < columns; j++) {
        const [now, sum] = [taken | (1 << j), cost + row[j]];
        if (now === taken || sum >= (next.get(now)?.cost ?? Infinity)) continue;
        next.set(now, { cost: sum, pairs: [...pairs, [i, j]] });
      }
    }
    best = next;
  });
  return best.get((1 << columns) - 1).pairs;
}
