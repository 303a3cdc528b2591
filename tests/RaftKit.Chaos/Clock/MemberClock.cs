using System.Globalization;

namespace RaftKit.Chaos.Clock;

/// <summary>A member's wall clock: as far off as its file says.</summary>
internal sealed class MemberClock
{
    private readonly string _file;

    public MemberClock(string file)
    {
        _file = file;
        Set(TimeSpan.Zero);
    }

    /// <summary>Moves it. Takes effect within a second.</summary>
    public void Set(TimeSpan off)
    {
        // Whoever reads it just now must find the one or the other.
        File.WriteAllText($"{_file}.new", off.TotalSeconds.ToString("+0;-0", CultureInfo.InvariantCulture) + "\n");
        File.Move($"{_file}.new", _file, overwrite: true);
    }
}
