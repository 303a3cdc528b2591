using System.Diagnostics;
using RaftKit.Fuzz.Targets;

namespace RaftKit.Fuzz;

/// <summary>
/// Draws inputs and watches what becomes of each. Input K of a seed is always the same one, whatever ran before it; so is what it finds.
/// </summary>
public sealed class Fuzzer
{
    /// <summary>
    /// What reading one input may allocate: a fixed part (a chunk of a snapshot, an exception), and so many bytes for each that is there.
    /// </summary>
    private const long FixedBytes = 96 << 10;
    private const long BytesForEach = 24;

    // Far beyond what any input takes (microseconds), even on a machine that does something else.
    private static readonly TimeSpan LongestInput = TimeSpan.FromSeconds(20);

    private readonly ulong _seed;
    private readonly List<FuzzTarget> _targets;
    private long _current = -1;

    /// <summary>Prepares what inputs are made of.</summary>
    /// <param name="seed">Everything is drawn from it.</param>
    /// <param name="only">One target; null for all in turn.</param>
    public Fuzzer(ulong seed, string? only = null)
        : this(seed, [.. All().Where(target => only is null || target.Name == only)])
    {
    }

    internal Fuzzer(ulong seed, List<FuzzTarget> targets)
    {
        _seed = seed;
        _targets = targets;
    }

    /// <summary>The names of what is fuzzed.</summary>
    public static IReadOnlyList<string> Targets { get; } = [.. All().Select(target => target.Name)];

    /// <summary>Runs inputs 0 to <paramref name="inputs"/> - 1.</summary>
    public FuzzReport Run(long inputs)
    {
        var report = new FuzzReport(_seed, _targets.Select(target => target.Name));
        var watch = Stopwatch.StartNew();
        Exception? broken = null;
        var worker = new Thread(() =>
        {
            try
            {
                for (var input = 0L; input < inputs && report.Failures.Count < FuzzReport.MostFailures; input++)
                {
                    Interlocked.Exchange(ref _current, input);
                    RunOne(input, report);
                }
            }
            catch (Exception failure)
            {
                broken = failure;
            }
        })
        { IsBackground = true, Name = "fuzzing" };
        worker.Start();
        var seen = -1L;
        while (!worker.Join(LongestInput))
        {
            var now = Interlocked.Read(ref _current);
            if (now == seen)
            {
                report.Hangs(TargetOf(now).Name, now, LongestInput);
                return report;
            }
            seen = now;
        }
        if (broken is not null)
            throw new InvalidOperationException($"The fuzzer itself failed at input {_current}.", broken);
        report.Finish(inputs, watch.Elapsed);
        return report;
    }

    /// <summary>Runs one input again, and tells what it was.</summary>
    /// <returns>Whether it was handled as it must be.</returns>
    public bool Explain(long input, TextWriter output)
    {
        var report = new FuzzReport(_seed, _targets.Select(target => target.Name));
        RunOne(input, report);
        output.WriteLine(TargetOf(input).Describe());
        output.WriteLine(report.Failures.Count == 0 ? report.Last : report.Failures[0].ToString());
        return report.Failures.Count == 0;
    }

    private static List<FuzzTarget> All() =>
        [new FrameTarget(), new HandshakeTarget(), new LogTarget(), new SnapshotTarget(), new IdentityTarget(), new MembershipTarget()];

    private FuzzTarget TargetOf(long input) => _targets[(int)(input % _targets.Count)];

    private void RunOne(long input, FuzzReport report)
    {
        var target = TargetOf(input);
        var random = new Random(Mix(_seed, input));
        target.Draw(random);
        var before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            var refusal = target.Read();
            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            report.Handled(target.Name, refusal, allocated);
            var limit = FixedBytes + BytesForEach * target.InputBytes;
            if (allocated > limit)
                report.Fails(
                    target.Name, input, $"it took {allocated} bytes of memory, the limit for {target.InputBytes} bytes is {limit}",
                    target.Describe());
        }
        catch (Exception failure)
        {
            report.Fails(target.Name, input, failure.ToString(), target.Describe());
        }
    }

    // SplitMix64's last steps: neighbouring inputs draw different numbers.
    private static int Mix(ulong seed, long input)
    {
        var mixed = (seed * 0x9e3779b97f4a7c15) + (ulong)input;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return (int)(mixed ^ (mixed >> 31));
    }
}
