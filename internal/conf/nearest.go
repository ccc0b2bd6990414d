package conf

import "strings"

// nearest returns the candidate that key most probably means: the same but for upper and lower case, or at most a
// quarter of the letters away. It returns "" if there is none.
func nearest(key string, candidates []string) string {
	best, distance := "", max(2, len(key)/4)+1
	lower := strings.ToLower(key)
	for _, c := range candidates {
		if d := edits(lower, strings.ToLower(c), distance); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// edits is the number of letters to insert, delete, replace or swap with their neighbour to make b of a; it returns
// limit if there are that many or more.
func edits(a, b string, limit int) int {
	if abs(len(a)-len(b)) >= limit {
		return limit
	}
	// Rows i-2, i-1 and i of the table of distances between prefixes.
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return min(old[len(b)], limit)
}

func abs(n int) int { return max(n, -n) }
