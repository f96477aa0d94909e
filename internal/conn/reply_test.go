package conn_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/larder-go/cache/internal/conn"
)

func TestRepliesToMGET(t *testing.T) {
	for name, row := range map[string]struct {
		reply string
		want  []string // "-" for none
		err   string
	}{
		"values in their order":              {"*3\r\n$1\r\na\r\n$0\r\n\r\n$-1\r\n", []string{"a", "-", "-"}, ""},
		"RESP3's null":                       {"*2\r\n_\r\n$2\r\n\r\n\r\n", []string{"-", "\r\n"}, ""},
		"an error reply":                     {"-NOPERM no mget for you\r\n", nil, "NOPERM no mget for you"},
		"fewer values than keys":             {"*1\r\n$1\r\na\r\n", []string{"-", "-"}, "no array of n strings"},
		"a value shorter than it says":       {"*1\r\n$5\r\nab\r\n", []string{"-"}, "no array of n strings"},
		"a length that is no number":         {"*1\r\n$x\r\nab\r\n", []string{"-"}, "no array of n strings"},
		"a length with a zero in front":      {"*1\r\n$01\r\na\r\n", []string{"-"}, "no array of n strings"},
		"a line that ends in another way":    {"*1\r\n$1 \na\r\n", []string{"-"}, "no array of n strings"},
		"a value that ends in another way":   {"*1\r\n$1\r\na\n\n", []string{"-"}, "no array of n strings"},
		"a length that nobody sends":         {"*1\r\n$99999999999\r\nab\r\n", []string{"-"}, "no array of n strings"},
		"something behind the last value":    {"*1\r\n$1\r\na\r\nmore", []string{"-"}, "4 bytes too many"},
		"a value of another type":            {"*1\r\n:1\r\n", []string{"-"}, "no array of n strings"},
		"nothing":                            {"", []string{"-"}, "no array of n strings"},
		"a line that does not end":           {"*1", []string{"-"}, "no array of n strings"},
		"an array within the array":          {"*1\r\n*1\r\n$1\r\na\r\n", []string{"-"}, "no array of n strings"},
		"an array that ends before its time": {"*2\r\n$1\r\na\r\n", []string{"-", "-"}, "no array of n strings"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := conn.ParseReply([]byte(row.reply), len(row.want))
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			require.Len(t, got, len(row.want))
			for i, want := range row.want {
				if want == "-" {
					assert.Nil(t, got[i].Data)
				} else {
					assert.Equal(t, want, string(got[i].Data))
				}
			}
		})
	}
}

// FuzzReply: whatever a server says, nothing panics, and what is accepted is what a
// plain reading of the format finds.
func FuzzReply(f *testing.F) {
	f.Add("*2\r\n$1\r\na\r\n$-1\r\n", 2)
	f.Add("*1\r\n$4\r\n\r\n\r\n\r\n", 1)
	f.Add("*1\r\n_\r\n", 1)
	f.Add("-ERR\r\n", 1)
	f.Fuzz(func(t *testing.T, reply string, n int) {
		if n < 0 || n > 100 {
			return
		}
		records, err := conn.ParseReply([]byte(reply), n)
		if err != nil {
			return
		}
		var again strings.Builder
		fmt.Fprintf(&again, "*%d\r\n", n)
		rest := reply[strings.Index(reply, "\n")+1:]
		for _, r := range records {
			switch {
			case r.Data != nil:
				fmt.Fprintf(&again, "$%d\r\n%s\r\n", len(r.Data), r.Data)
			case strings.Contains(rest, "_"):
				return // two ways to say nothing
			default:
				return // three, with the empty string
			}
		}
		assert.Equal(t, len(again.String()), len(reply))
	})
}

func TestAReplyIsReadIntoOneBuffer(t *testing.T) {
	value := strings.Repeat("v", 100_000)
	r := conn.NewReply()
	_, err := io.WriteString(r, "$100000\r\n")
	require.NoError(t, err)
	n, err := r.ReadFrom(&io.LimitedReader{R: strings.NewReader(value + "\r\n"), N: 100_002})
	require.NoError(t, err)
	assert.EqualValues(t, 100_002, n)
	_, err = r.ReadFrom(&io.LimitedReader{R: strings.NewReader("short"), N: 10})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = r.ReadFrom(strings.NewReader(value))
	require.Error(t, err, "a reader that does not say how much it has")
}
