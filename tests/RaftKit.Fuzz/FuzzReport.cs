using System.Globalization;
using System.Text;
using System.Text.Json;

namespace RaftKit.Fuzz;

/// <summary>What became of the inputs.</summary>
public sealed class FuzzReport
{
    internal const int MostFailures = 20;

    private readonly SortedDictionary<string, TargetCounts> _targets = new(StringComparer.Ordinal);
    private readonly List<FuzzFailure> _failures = [];
    private readonly ulong _seed;
    private ulong _digest = 0xcbf29ce484222325;
    private long _inputs;
    private TimeSpan _elapsed;

    internal FuzzReport(ulong seed, IEnumerable<string> targets)
    {
        _seed = seed;
        foreach (var target in targets)
            _targets.Add(target, new TargetCounts());
    }

    /// <summary>The inputs that were not handled as they must be.</summary>
    public IReadOnlyList<FuzzFailure> Failures => _failures;

    /// <summary>The outcomes of all inputs in one number: the same for every run with the same seed, count and code.</summary>
    public string Digest => _digest.ToString("x16", CultureInfo.InvariantCulture);

    internal string Last { get; private set; } = "";

    /// <summary>How many inputs a target read, and how many it refused.</summary>
    public (long Accepted, long Refused) Of(string target) => (_targets[target].Accepted, _targets[target].Refused);

    /// <summary>One line of JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(new
    {
        inputs = _inputs,
        seed = _seed,
        failed = _failures.Count,
        seconds = Math.Round(_elapsed.TotalSeconds, 1),
        digest = Digest,
        targets = _targets.ToDictionary(
            target => target.Key,
            target => new { accepted = target.Value.Accepted, refused = target.Value.Refused, refusals = target.Value.Kinds.Count,
                most_allocated = target.Value.MostAllocated }),
        failures = _failures,
    });

    /// <inheritdoc/>
    public override string ToString()
    {
        var text = new StringBuilder();
        foreach (var (name, counts) in _targets)
            text.AppendLine(CultureInfo.InvariantCulture,
                $"{name}: {counts.Accepted} read, {counts.Refused} refused for {counts.Kinds.Count} reasons, {counts.MostAllocated} bytes at most");
        foreach (var failure in _failures)
            text.AppendLine(failure.ToString());
        text.Append(
            CultureInfo.InvariantCulture,
            $"{_inputs} inputs of seed {_seed} in {_elapsed.TotalSeconds:F1} s, {_failures.Count} failed, digest {Digest}");
        return text.ToString();
    }

    internal void Handled(string target, string? refusal, long allocated)
    {
        var counts = _targets[target];
        counts.MostAllocated = Math.Max(counts.MostAllocated, allocated);
        if (refusal is null)
            counts.Accepted++;
        else
            counts.Refused++;
        if (refusal is not null && counts.Kinds.Count < 10_000)
            counts.Kinds.Add(Shape(refusal));
        Last = refusal is null ? "read" : $"refused: {refusal}";
        foreach (var letter in Last)
            _digest = (_digest ^ letter) * 0x100000001b3;
    }

    internal void Fails(string target, long input, string why, string described) =>
        _failures.Add(new FuzzFailure(target, _seed, input, why, described));

    internal void Hangs(string target, long input, TimeSpan after) =>
        Fails(target, input, $"it did not end within {after.TotalSeconds} s", "see --input");

    internal void Finish(long inputs, TimeSpan elapsed)
    {
        (_inputs, _elapsed) = (inputs, elapsed);
        // A run in which nothing was read, or nothing refused, tested only one half of the reader.
        foreach (var (name, counts) in _targets.Where(
            target => inputs / _targets.Count >= 1000 && (target.Value.Accepted == 0 || target.Value.Refused == 0)))
            Fails(name, inputs, $"{counts.Accepted} inputs were read and {counts.Refused} refused: the target tests nothing", "");
    }

    // Messages that differ in their numbers only are one reason.
    private static string Shape(string message)
    {
        var shape = new StringBuilder(message.Length);
        foreach (var letter in message)
        {
            if (!char.IsAsciiDigit(letter))
                shape.Append(letter);
        }
        return shape.ToString();
    }

    private sealed class TargetCounts
    {
        public long Accepted { get; set; }

        public long Refused { get; set; }

        public long MostAllocated { get; set; }

        public HashSet<string> Kinds { get; } = new(StringComparer.Ordinal);
    }
}

/// <summary>An input that was not handled as it must be: <c>--seed S --input K</c> runs it again.</summary>
public sealed record FuzzFailure(string Target, ulong Seed, long Input, string Why, string Described);
