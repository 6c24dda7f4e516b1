package collector_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestTheGeneratedCodeIsThatOfTheProtos(t *testing.T) {
	buf := filepath.Join("..", "..", "node_modules", ".bin", "buf")
	if _, err := os.Stat(buf); err != nil {
		t.Skipf("the repository's buf is not there, run npm ci: %v", err)
	}
	out := t.TempDir()
	generate := exec.Command(buf, "generate", filepath.Join("..", ".."), "--template", "buf.gen.yaml", "--output", out)
	if output, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	want := files(t, out)
	got := files(t, ".")
	if len(want) == 0 || len(got) != len(want) {
		t.Fatalf("%d files are generated, %d are here", len(want), len(got))
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s is not what the protos give; run go generate", name)
		}
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "collectorpb", "*"))
	check(t, err)
	texts := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(t, err)
		texts[filepath.Base(path)] = string(text)
	}
	return texts
}
