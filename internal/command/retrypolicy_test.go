package command

import (
	"slices"
	"testing"

	"github.com/skuamq/skua/internal/fastjson"
)

// The delays are those that Java's policies return for the same JSON, but for the one that overflows there.
func TestRetryPolicies(t *testing.T) {
	usual := []int64{10e3, 30e3, 60e3, 120e3, 180e3, 240e3, 300e3, 360e3, 420e3, 480e3, 540e3, 600e3, 1200e3, 1800e3, 3600e3, 7200e3, 7200e3, 7200e3}
	for text, want := range map[string][]int64{
		`{}`:                        usual,
		`{"groupRetryPolicy":null}`: usual,
		`{"groupRetryPolicy":{"type":"CUSTOMIZED"}}`:                                                                                     usual,
		`{"groupRetryPolicy":{"type":"CUSTOMIZED","customizedRetryPolicy":{}}}`:                                                          usual,
		`{"groupRetryPolicy":{"type":"EXPONENTIAL"}}`:                                                                                    usual,
		`{"groupRetryPolicy":{"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[1,2,3,4]}}}`:                                          {3, 4, 4, 4},
		`{"groupRetryPolicy":{"type":"CUSTOMIZED","customizedRetryPolicy":{"next":[7]}}}`:                                                {7, 7},
		`{"groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{}}}`:                                                        {5e3, 10e3, 20e3, 40e3, 80e3, 160e3, 320e3, 640e3, 1280e3, 2560e3, 5120e3, 7200e3, 7200e3},
		`{"groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":100,"max":700,"multiplier":3}}}`:                  {100, 300, 700, 700},
		`{"groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":3,"max":7,"multiplier":2}}}`:                      {3, 6, 7},
		`{"groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":5,"max":9223372036854775807,"multiplier":9000}}}`: {5, 45000, 405000000, 3645000000000, 32805000000000000, 9223372036854775807},
		`{"groupRetryPolicy":{"type":"EXPONENTIAL","exponentialRetryPolicy":{"initial":5,"max":9,"multiplier":1}}}`:                      {5, 5, 5},
	} {
		var c GroupConfig
		if err := fastjson.Unmarshal([]byte(text), &c); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if err := c.RetryPolicy.Validate(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var got []int64
		for n := range want {
			got = append(got, c.RetryPolicy.NextDelay(int32(n)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: delays %v, want %v", text, got, want)
		}
		if first := c.RetryPolicy.NextDelay(-1); first != want[0] {
			t.Errorf("%s: delay of the first try %d", text, first)
		}
	}
	for _, p := range []RetryPolicy{{Type: "LINEAR"}, {Type: CustomizedRetry, Customized: &CustomizedRetryPolicy{}}, {Type: CustomizedRetry, Customized: &CustomizedRetryPolicy{Next: []int64{-1}}},
		{Type: ExponentialRetry, Exponential: &ExponentialRetryPolicy{Initial: 1, Max: 1}}} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
