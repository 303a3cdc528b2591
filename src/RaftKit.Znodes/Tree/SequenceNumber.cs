using System.Globalization;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// The suffix of a sequential znode: the parent's create counter as ten digits. ZooKeeper's counter is 32 bits wide and goes negative after
/// 2,147,483,647, where names sort wrongly and may repeat. Ours is 64 bits wide: it stays ten digits, in order, up to
/// 9,999,999,999, and stays unique and the same on every member beyond.
/// </summary>
internal static class SequenceNumber
{
    public const int MaxLength = 20;

    public static string Append(string path, long counter) =>
        string.Create(CultureInfo.InvariantCulture, $"{path}{counter:D10}");
}
