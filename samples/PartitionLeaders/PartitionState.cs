using System.Globalization;
using System.Text;

namespace PartitionLeaders;

/// <summary>
/// A partition's log as the quorum keeps it: not the records themselves but what proves that none is missing. The chain is a hash over
/// every record (its number and the fencing token of the leader that wrote it), so it can only be right if each was applied exactly once
/// and in order.
/// </summary>
/// <param name="Token">The fencing token of the leader that wrote last.</param>
/// <param name="Number">The last record's number; they start at 1 and have no gaps.</param>
/// <param name="Chain">The hash over all records.</param>
internal readonly record struct PartitionState(long Token, long Number, ulong Chain)
{
    /// <summary>The state with the next record appended.</summary>
    public PartitionState Append(long token) => new(token, Number + 1, Mix(Chain, token, Number + 1));

    public byte[] ToBytes() => Encoding.UTF8.GetBytes(ToString());

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Token} {Number} {Chain:x16}");

    public static PartitionState Parse(ReadOnlySpan<byte> data) => data.IsEmpty ? default : Parse(Encoding.UTF8.GetString(data));

    public static PartitionState Parse(string text) =>
        text.Split(' ') is [var token, var number, var chain]
            ? new(long.Parse(token, CultureInfo.InvariantCulture), long.Parse(number, CultureInfo.InvariantCulture),
                ulong.Parse(chain, NumberStyles.HexNumber, CultureInfo.InvariantCulture))
            : default;

    private static ulong Mix(ulong chain, long token, long number)
    {
        var mixed = (chain ^ (ulong)token) * 0x9E3779B97F4A7C15UL;
        mixed = (mixed ^ (mixed >> 29) ^ (ulong)number) * 0xBF58476D1CE4E5B9UL;
        return mixed ^ (mixed >> 32);
    }
}

/// <summary>One leader's stretch of a partition's log.</summary>
/// <param name="Token">Its fencing token.</param>
/// <param name="First">The first record that it may write.</param>
internal readonly record struct LeaderEpoch(long Token, long First);

/// <summary>Every leader that a partition had, by where it took over: says which token each record must carry.</summary>
internal sealed record LeaderHistory(IReadOnlyList<LeaderEpoch> Epochs)
{
    public LeaderHistory With(LeaderEpoch epoch) => new([.. Epochs, epoch]);

    public byte[] ToBytes() => Encoding.UTF8.GetBytes(ToString());

    public override string ToString() =>
        string.Join(',', Epochs.Select(e => string.Create(CultureInfo.InvariantCulture, $"{e.Token}:{e.First}")));

    public static LeaderHistory Parse(ReadOnlySpan<byte> data) => Parse(Encoding.UTF8.GetString(data));

    public static LeaderHistory Parse(string text) => new(
    [
        .. text.Split(',', StringSplitOptions.RemoveEmptyEntries)
            .Select(e => e.Split(':'))
            .Select(e => new LeaderEpoch(long.Parse(e[0], CultureInfo.InvariantCulture), long.Parse(e[1], CultureInfo.InvariantCulture))),
    ]);
}
